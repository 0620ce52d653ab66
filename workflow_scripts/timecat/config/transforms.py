"""The typed config of how a stored image becomes a network's input, by kind of data set."""

from typing import Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import Block, PositiveFloat, PositiveInt, Probability, Share, settings_of
from workflow_scripts.timecat.images.transform import Interpolation
from workflow_scripts.timecat.images.transform import Transform as TransformSettings


class Transform(Block):
    """How a stored image becomes a network's input. Defaults: crops as the paper has for CIFAR, at 28 px; no flips."""

    size: PositiveInt = Field(28, description="side of the network's input, in pixels")
    scale: list[Share] = Field(
        [0.8, 1.0],
        description="smallest and largest area of a random crop, as a fraction of the image's",
        min_length=2,
        max_length=2,
    )
    ratio: list[PositiveFloat] = Field(
        [0.75, 1.3333333333333333],
        description="smallest and largest aspect ratio of a random crop",
        min_length=2,
        max_length=2,
    )
    flip: Probability = Field(0.0, description="probability of a horizontal flip in a random view")
    center_ratio: Share = Field(
        0.875, description="side of the evaluation crop over the image's short side (224/256 in the paper)"
    )
    interpolation: Interpolation = Field(
        "area",
        description="how crops are resized: `area` is FFCV's own and the fastest, but takes the nearest pixel where it "
        "enlarges; `bilinear` and `bicubic` are torchvision's with antialias",
    )
    mean: list[float] = Field(
        [0.35, 0.35, 0.35], description="per channel, of values in 0 to 1", min_length=3, max_length=3
    )
    std: list[PositiveFloat] = Field(
        [0.2, 0.2, 0.2], description="per channel, of values in 0 to 1", min_length=3, max_length=3
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("scale", "ratio"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: the first number must not exceed the second")
        return self

    def settings(self) -> TransformSettings:
        """What stages are told."""
        return settings_of(TransformSettings, self)


class PhotoTransform(Transform):
    """The same keys; these are the paper's values for ImageNet and iNaturalist."""

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
    """The same keys; these are the paper's values for CIFAR-10 and CIFAR-100."""

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
    """How sequences become inputs: base by base as they are stored, so that there is nothing to set."""

    size: PositiveInt = Field(1, description="side of the stored image in pixels, which follows from `length`")
    scale: list[Share] = Field([1.0, 1.0], description="the whole")
    ratio: list[PositiveFloat] = Field([1.0, 1.0], description="the whole")
    center_ratio: Share = Field(1.0, description="the whole")
    mean: list[float] = Field([0.0, 0.0, 0.0], description="values stay in 0 to 1")
    std: list[PositiveFloat] = Field([1.0, 1.0, 1.0], description="values stay in 0 to 1")
