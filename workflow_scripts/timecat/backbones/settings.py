"""A backbone's network, as stages are told it: a class for each of our own architectures, one for a library's.

Without torch, for the config and plans.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from workflow_scripts.timecat.backbones.catalogue import OWN, SMALL_RESIDUAL
from workflow_scripts.timecat.settings import settings


@settings
class SmallResidualSettings:
    """The settings of build.SmallResidual."""

    architecture: Literal["small_residual"]
    width: int
    blocks: int


@settings
class WideEndedSettings(SmallResidualSettings):
    """The same with a last block of another width."""

    last_width: int


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
WIDE_ENDED = "wide_ended"  # and for a small residual network with a last width


def kind_of(described: Any) -> str:
    """Which class describes a backbone's settings: the name of one of our own architectures, WIDE_ENDED or LIBRARY.

    described: its settings, or JSON of them.
    """
    name = architecture_of(described)
    has_last_width = "last_width" in described if isinstance(described, dict) else hasattr(described, "last_width")
    return WIDE_ENDED if name == SMALL_RESIDUAL and has_last_width else name


def architecture_of(described: Any) -> str:
    """Which block describes a backbone: the name of one of our own architectures, or LIBRARY.

    described: its block of the config or its settings, or JSON of either.
    """
    name = described.get("architecture") if isinstance(described, dict) else getattr(described, "architecture", None)
    return name if name in OWN else LIBRARY


BackboneSettings = Annotated[
    Annotated[SmallResidualSettings, Tag("small_residual")]
    | Annotated[WideEndedSettings, Tag(WIDE_ENDED)]
    | Annotated[SequenceResidualSettings, Tag("sequence_residual")]
    | Annotated[SmallVitSettings, Tag("small_vit")]
    | Annotated[SmallRegnetSettings, Tag("small_regnet")]
    | Annotated[RandomProjectionSettings, Tag("random_projection")]
    | Annotated[LibrarySettings, Tag(LIBRARY)],
    Discriminator(kind_of),
]
