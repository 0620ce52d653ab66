"""The typed config of transforms from a stored image to a network's input, for each kind of data set."""

from typing import Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import Block, PositiveFloat, PositiveInt, Probability, Share, settings_of
from workflow_scripts.timecat.images.transform import Interpolation
from workflow_scripts.timecat.images.transform import Transform as TransformSettings


class Transform(Block):
    """Transform from a stored image to a network's input.
    Defaults are the paper's crops for CIFAR at 28 pixels, without flips."""

    size: PositiveInt = Field(28, description="side of the network's square input, in pixels")
    scale: list[Share] = Field(
        [0.8, 1.0],
        description="smallest and largest area of a random crop, as a share of the image's area",
        min_length=2,
        max_length=2,
    )
    ratio: list[PositiveFloat] = Field(
        [0.75, 1.3333333333333333],
        description="smallest and largest aspect ratio (width / height) of a random crop",
        min_length=2,
        max_length=2,
    )
    flip: Probability = Field(0.0, description="probability that a training view is flipped horizontally")
    center_ratio: Share = Field(
        0.875,
        description="side of the evaluation crop, as a share of the image's short side (in the paper 224 / 256 = "
        "0.875)",
    )
    interpolation: Interpolation = Field(
        "area",
        description="method of resizing crops. `area`: FFCV's method, the fastest, which uses the nearest pixel when "
        "it enlarges. `bilinear`, `bicubic`: torchvision's methods with antialiasing",
    )
    mean: list[float] = Field(
        [0.35, 0.35, 0.35],
        description="mean of the red, green and blue channels that is subtracted, for pixel values from 0 to 1",
        min_length=3,
        max_length=3,
    )
    std: list[PositiveFloat] = Field(
        [0.2, 0.2, 0.2],
        description="standard deviation of the red, green and blue channels by which inputs are divided, for pixel "
        "values from 0 to 1",
        min_length=3,
        max_length=3,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("scale", "ratio"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: the first number must not exceed the second; swap the two")
        return self

    def settings(self) -> TransformSettings:
        """Return the settings of the transform that stages get."""
        return settings_of(TransformSettings, self)


class PhotoTransform(Transform):
    """Defaults of `transform` for photographs: the paper's values for ImageNet and iNaturalist."""

    size: PositiveInt = Field(224, description=Transform.model_fields["size"].description)
    scale: list[Share] = Field(
        [0.08, 1.0], description=Transform.model_fields["scale"].description, min_length=2, max_length=2
    )
    flip: Probability = Field(0.5, description=Transform.model_fields["flip"].description)
    interpolation: Interpolation = Field("bilinear", description=Transform.model_fields["interpolation"].description)
    mean: list[float] = Field(
        [0.485, 0.456, 0.406], description=Transform.model_fields["mean"].description, min_length=3, max_length=3
    )
    std: list[PositiveFloat] = Field(
        [0.229, 0.224, 0.225], description=Transform.model_fields["std"].description, min_length=3, max_length=3
    )


class CifarTransform(PhotoTransform):
    """Defaults of `transform` for CIFAR-10 and CIFAR-100: the paper's values."""

    scale: list[Share] = Field(
        [0.8, 1.0], description=Transform.model_fields["scale"].description, min_length=2, max_length=2
    )
    interpolation: Interpolation = Field("bicubic", description=Transform.model_fields["interpolation"].description)
    mean: list[float] = Field(
        [0.4914, 0.4822, 0.4465], description=Transform.model_fields["mean"].description, min_length=3, max_length=3
    )
    std: list[PositiveFloat] = Field(
        [0.2023, 0.1994, 0.2010], description=Transform.model_fields["std"].description, min_length=3, max_length=3
    )


class SequenceTransform(Transform):
    """Fixed values of `transform` for sequences, which are read base by base as stored. None of them can be set."""

    size: PositiveInt = Field(1, description="side of the stored image in pixels, computed from `length`")
    scale: list[Share] = Field([1.0, 1.0], description="fixed: the whole image is used")
    ratio: list[PositiveFloat] = Field([1.0, 1.0], description="fixed: the whole image is used")
    center_ratio: Share = Field(1.0, description="fixed: the whole image is used")
    mean: list[float] = Field([0.0, 0.0, 0.0], description="fixed: values stay in the range 0 to 1")
    std: list[PositiveFloat] = Field([1.0, 1.0, 1.0], description="fixed: values stay in the range 0 to 1")
