"""The typed config of backbones: the workflow's small networks, and networks of torchvision and timm."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from workflow_scripts.timecat.backbones.catalogue import mistake_in_name, mistake_in_width
from workflow_scripts.timecat.backbones.settings import (
    LIBRARY,
    BackboneSettings,
    LibrarySettings,
    RandomProjectionSettings,
    SequenceResidualSettings,
    SmallRegnetSettings,
    SmallResidualSettings,
    SmallVitSettings,
    kind_of,
)
from workflow_scripts.timecat.config.blocks import Block, PositiveInt, Text, changes_of, settings_of
from workflow_scripts.timecat.config.checkpoints import Checkpoints
from workflow_scripts.timecat.config.pretrain import NOT_OF_THE_RECIPE, Pretrain

if TYPE_CHECKING:
    RecipeChanges = Block  # the class is created at import time
else:
    RecipeChanges = changes_of(Pretrain, "RecipeChanges", NOT_OF_THE_RECIPE)


class Backbone(Block):
    """A network, with optional changes to its pretraining recipe."""

    HEADING: ClassVar = "any architecture"
    told: ClassVar[type[Any]]  # class of the settings that stages get

    pretrain: RecipeChanges | None = Field(
        None,
        description="changes to the pretraining recipe for this backbone: any key of `pretrain` except seeds and "
        "milestones. The backbone's name then means the architecture together with this recipe (default: the study's "
        "recipe)",
    )

    checkpoints: Checkpoints | None = Field(
        None,
        description="published weights of this backbone, which replace pretraining. For the study's backbone, use the "
        "top-level block `checkpoints` instead. {run} is the position of a seed in `pretrain.seeds`, in "
        "both blocks (default: none)",
    )

    def settings(self) -> BackboneSettings:
        """Return the settings of the network that stages get, without the settings of its pretraining."""
        made: BackboneSettings = settings_of(self.told, self)
        return made


class SmallResidual(Backbone):
    """A small residual network for images of about 32 px."""

    told = SmallResidualSettings
    architecture: Literal["small_residual"]
    width: PositiveInt = Field(8, description="number of channels of the first block; each further block doubles it")
    blocks: PositiveInt = Field(3, description="number of blocks; each halves the side of the image")
    last_width: PositiveInt | None = Field(
        None,
        description="number of output channels of the last block, which is the number of features (default: the "
        "number that the doubling gives). Between its convolutions the block keeps the usual number of channels, so "
        "that more features add little to the cost of a step",
    )


class SequenceResidual(Backbone):
    """A small residual network in one dimension, for sequences of bases (kinds `motifs` and `sequences`)."""

    told = SequenceResidualSettings
    architecture: Literal["sequence_residual"]
    width: PositiveInt = Field(8, description="number of channels of the stem; each block doubles it")
    blocks: PositiveInt = Field(2, description="number of blocks; each halves the length of the sequence")
    motif: PositiveInt = Field(9, description="kernel size of the stem's convolution in bases, an odd number")
    kernel: PositiveInt = Field(5, description="kernel size of the blocks' convolutions, an odd number")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        for key in ("motif", "kernel"):
            if getattr(self, key) % 2 == 0:
                raise ValueError(
                    f"{key}: {getattr(self, key)} is even and must be odd; use {getattr(self, key) + 1}, for example"
                )
        return self


class SmallVit(Backbone):
    """A small vision transformer, built from torchvision's class, so that its weights have torchvision's names."""

    told = SmallVitSettings
    architecture: Literal["small_vit"]
    patch: PositiveInt = Field(4, description="side of a patch in pixels; must divide the side of the images")
    width: PositiveInt = Field(
        48, description="size of a token, which is the number of features; must be a multiple of `heads`"
    )
    depth: PositiveInt = Field(4, description="number of transformer blocks")
    heads: PositiveInt = Field(4, description="number of attention heads per block")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width {self.width}; choose a divisor")
        return self


class SmallRegnet(Backbone):
    """A small RegNet, built from torchvision's class, so that its weights have torchvision's names."""

    told = SmallRegnetSettings
    architecture: Literal["small_regnet"]
    stem: PositiveInt = Field(8, description="number of channels of the stem, which halves the side of the image")
    widths: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [16, 32],
        description="number of channels of each stage, multiples of `group_width`; each stage halves the side of the "
        "image",
    )
    depths: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [1, 1], description="number of blocks of each stage; the list is as long as `widths`"
    )
    group_width: PositiveInt = Field(8, description="number of channels per group of the grouped convolutions")
    squeeze_excite: bool = Field(
        True, description="whether blocks have squeeze-and-excitation (true: RegNetY; false: RegNetX)"
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"depths: {self.depths} has {len(self.depths)} numbers and widths {len(self.widths)}; give one for "
                "each stage"
            )
        if wrong := [width for width in self.widths if width % self.group_width]:
            raise ValueError(
                f"group_width: {self.group_width} does not divide width {wrong[0]}; choose a divisor of every width"
            )
        return self


class RandomProjection(Backbone):
    """A fixed random projection of the pixels instead of a network.
    The block `floors` adds such a backbone; a study may define more."""

    told = RandomProjectionSettings
    architecture: Literal["random_projection"]
    dimension: PositiveInt = Field(512, description="number of features")
    side: PositiveInt = Field(32, description="side in pixels to which larger images are resized before the projection")


class LibraryBackbone(Backbone):
    """Any classification model of torchvision, or of timm if it is installed, by its name."""

    HEADING: ClassVar = "with any other architecture"
    told = LibrarySettings
    architecture: Text = Field(
        description="name of the model in the library: resnet18, resnet50, regnet_y_400mf, vit_b_16, convnext_tiny, ..."
    )
    width: PositiveInt = Field(
        1, description="factor by which all numbers of channels are multiplied (a ResNet's w2 is 2)"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if mistake := mistake_in_name(self.architecture):
            raise ValueError(f"architecture: {mistake}")
        if mistake := mistake_in_width(self.architecture, self.width):
            raise ValueError(f"width: {mistake}")
        return self


OWN_BACKBONES: dict[str, type[Backbone]] = {
    "small_residual": SmallResidual,
    "small_vit": SmallVit,
    "small_regnet": SmallRegnet,
    "sequence_residual": SequenceResidual,
    "random_projection": RandomProjection,
}

AnyBackbone = Annotated[
    Annotated[SmallResidual, Tag("small_residual")]
    | Annotated[SmallVit, Tag("small_vit")]
    | Annotated[SmallRegnet, Tag("small_regnet")]
    | Annotated[SequenceResidual, Tag("sequence_residual")]
    | Annotated[RandomProjection, Tag("random_projection")]
    | Annotated[LibraryBackbone, Tag(LIBRARY)],
    Discriminator(kind_of),
]
