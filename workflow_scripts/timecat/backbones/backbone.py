"""Define the class Backbone: networks that map images to features."""

from typing import cast

from torch import nn


class Backbone(nn.Module):
    """Network that maps images, float32 [b, 3, s, s], to features [b, dimension].

    Networks of torchvision and timm are not instances of this class; ``as_backbone`` adds the attribute ``dimension``
    to them.
    """

    dimension: int


def as_backbone(network: nn.Module, dimension: int) -> Backbone:
    """Set the attribute ``dimension`` of a library's network, and return the same network as a Backbone."""
    backbone = cast(Backbone, network)
    backbone.dimension = dimension
    return backbone
