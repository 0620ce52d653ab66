"""Define the settings of backbones: a class for each architecture of this project, and one class for all libraries.

This module does not import torch, because the config and plans read it.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from workflow_scripts.timecat.backbones.catalogue import OWN
from workflow_scripts.timecat.settings import LEFT_OUT, settings


@settings
class SmallResidualSettings:
    """Settings of a small residual network (build.SmallResidual)."""

    architecture: Literal["small_residual"]
    width: int
    blocks: int
    last_width: int | None = LEFT_OUT


@settings
class SequenceResidualSettings:
    """Settings of a residual network for sequences (sequence_residual.SequenceResidual)."""

    architecture: Literal["sequence_residual"]
    width: int
    blocks: int
    motif: int
    kernel: int


@settings
class SmallVitSettings:
    """Settings of a small vision transformer (small.py)."""

    architecture: Literal["small_vit"]
    patch: int
    width: int
    depth: int
    heads: int


@settings
class SmallRegnetSettings:
    """Settings of a small RegNet (small.py)."""

    architecture: Literal["small_regnet"]
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    group_width: int
    squeeze_excite: bool


@settings
class RandomProjectionSettings:
    """Settings of a random projection of the pixels (random_projection.RandomProjection).

    dimension: number of features. side: side, in pixels, to which images are reduced.
    """

    architecture: Literal["random_projection"]
    dimension: int
    side: int


@settings
class LibrarySettings:
    """Settings of a model of torchvision or timm, given by its name.

    width: factor by which all channels of a torchvision ResNet are multiplied.
    """

    architecture: str
    width: int


LIBRARY = "library"  # tag of all architectures of torchvision and timm


def kind_of(described: Any) -> str:
    """Return the tag of a backbone's class of settings: the name of this project's architecture, or LIBRARY.

    described: a backbone's block of the config or its settings, as an object or as a dict read from JSON.
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
