"""A backbone's network, as stages are told it: a class for each of our own architectures, one for a library's.

Without torch, for the config and plans.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from workflow_scripts.timecat.backbones.catalogue import OWN
from workflow_scripts.timecat.settings import LEFT_OUT, settings


@settings
class SmallResidualSettings:
    """The settings of build.SmallResidual."""

    architecture: Literal["small_residual"]
    width: int
    blocks: int
    last_width: int | None = LEFT_OUT


@settings
class SequenceResidualSettings:
    """The settings of sequence_residual.SequenceResidual."""

    architecture: Literal["sequence_residual"]
    width: int
    blocks: int
    motif: int
    kernel: int


@settings
class SmallVitSettings:
    """A small vision transformer (small.py)."""

    architecture: Literal["small_vit"]
    patch: int
    width: int
    depth: int
    heads: int


@settings
class SmallRegnetSettings:
    """A small RegNet (small.py)."""

    architecture: Literal["small_regnet"]
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    group_width: int
    squeeze_excite: bool


@settings
class RandomProjectionSettings:
    """The settings of random_projection.RandomProjection. side: pixels."""

    architecture: Literal["random_projection"]
    dimension: int
    side: int


@settings
class LibrarySettings:
    """A model of torchvision or timm by its name. width: multiple of all channels of a torchvision ResNet."""

    architecture: str
    width: int


LIBRARY = "library"  # what stands for all architectures that are not our own


def kind_of(described: Any) -> str:
    """Which class describes a backbone: the name of one of our own architectures, or LIBRARY.

    described: its block of the config or its settings, or JSON of either.
    """
    name = described.get("architecture") if isinstance(described, dict) else getattr(described, "architecture", None)
    return name if name in OWN else LIBRARY


BackboneSettings = Annotated[
    Annotated[SmallResidualSettings, Tag("small_residual")]
    | Annotated[SequenceResidualSettings, Tag("sequence_residual")]
    | Annotated[SmallVitSettings, Tag("small_vit")]
    | Annotated[SmallRegnetSettings, Tag("small_regnet")]
    | Annotated[RandomProjectionSettings, Tag("random_projection")]
    | Annotated[LibrarySettings, Tag(LIBRARY)],
    Discriminator(kind_of),
]
