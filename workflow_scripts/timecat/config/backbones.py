"""The typed config of backbones: the workflow's own, and a library's."""

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
    RecipeChanges = Block  # made when the module is read
else:
    RecipeChanges = changes_of(Pretrain, "RecipeChanges", NOT_OF_THE_RECIPE)


class Backbone(Block):
    """A network, and how its pretraining differs."""

    HEADING: ClassVar = "any architecture"
    told: ClassVar[type[Any]]  # the class of what stages are told

    pretrain: RecipeChanges | None = Field(
        None,
        description="changes to the recipe for this backbone: any key of `pretrain` but seeds and milestones; its name then "
        "stands for the architecture and the recipe",
    )

    checkpoints: Checkpoints | None = Field(
        None,
        description="published weights of this backbone, in the place of pretraining (of the study's backbone they stand at "
        "the top); {run} is a seed's place in pretrain.seeds there too",
    )

    def settings(self) -> BackboneSettings:
        """What stages are told: what the network is, without how it is pretrained."""
        made: BackboneSettings = settings_of(self.told, self)
        return made


class SmallResidual(Backbone):
    """A small residual network for images of about 32 px."""

    told = SmallResidualSettings
    architecture: Literal["small_residual"]
    width: PositiveInt = Field(8, description="channels of the first block; each block doubles them")
    blocks: PositiveInt = Field(3, description="number of blocks; each halves the side")
    last_width: PositiveInt | None = Field(
        None,
        description="channels that the last block ends in, which are the features (default: those of the doubling). Between its "
        "convolutions it keeps the usual number, so that more features cost a step little",
    )


class SequenceResidual(Backbone):
    """A small residual network in one dimension, for sequences of bases (kinds `motifs` and `sequences`)."""

    told = SequenceResidualSettings
    architecture: Literal["sequence_residual"]
    width: PositiveInt = Field(8, description="channels of the stem; each block doubles them")
    blocks: PositiveInt = Field(2, description="number of blocks; each halves the length")
    motif: PositiveInt = Field(9, description="bases that the stem sees at once, an odd number")
    kernel: PositiveInt = Field(5, description="places that the blocks' convolutions see at once, an odd number")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        for key in ("motif", "kernel"):
            if getattr(self, key) % 2 == 0:
                raise ValueError(
                    f"{key}: it is {getattr(self, key)}, and must be odd; {getattr(self, key) + 1} is near"
                )
        return self


class SmallVit(Backbone):
    """A small vision transformer: torchvision's class, with its names of weights."""

    told = SmallVitSettings
    architecture: Literal["small_vit"]
    patch: PositiveInt = Field(4, description="side of a patch in pixels; must divide the images' side")
    width: PositiveInt = Field(48, description="features of a token, and of the network; a multiple of `heads`")
    depth: PositiveInt = Field(4, description="number of transformer blocks")
    heads: PositiveInt = Field(4, description="attention heads of a block")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width {self.width}; choose a divisor")
        return self


class SmallRegnet(Backbone):
    """A small RegNet: torchvision's class, with its names of weights."""

    told = SmallRegnetSettings
    architecture: Literal["small_regnet"]
    stem: PositiveInt = Field(8, description="channels of the stem, which halves the side")
    widths: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [16, 32], description="channels of each stage, which halves the side; multiples of `group_width`"
    )
    depths: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [1, 1], description="blocks of each stage, as many numbers as `widths`"
    )
    group_width: PositiveInt = Field(8, description="channels of a group of the grouped convolutions")
    squeeze_excite: bool = Field(True, description="weigh channels in each block (RegNetY; without, RegNetX)")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"depths: {self.depths} has {len(self.depths)} numbers and widths {len(self.widths)}; give one for each stage"
            )
        if wrong := [width for width in self.widths if width % self.group_width]:
            raise ValueError(
                f"group_width: {self.group_width} does not divide width {wrong[0]}; choose a divisor of every width"
            )
        return self


class RandomProjection(Backbone):
    """No network: a fixed random projection of the pixels. The block `floors` makes one; a study may have others."""

    told = RandomProjectionSettings
    architecture: Literal["random_projection"]
    dimension: PositiveInt = Field(512, description="number of features")
    side: PositiveInt = Field(32, description="larger images are reduced to this side, in pixels")


class LibraryBackbone(Backbone):
    """Any classification model of torchvision by its name, or of timm where that is installed."""

    HEADING: ClassVar = "with any other architecture"
    told = LibrarySettings
    architecture: Text = Field(description="resnet18, resnet50, regnet_y_400mf, vit_b_16, convnext_tiny, ...")
    width: PositiveInt = Field(1, description="multiple of all channels (ResNets: 2 is w2)")

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
