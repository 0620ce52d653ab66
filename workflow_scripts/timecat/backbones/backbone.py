"""Define a backbone: a network that turns images into features and knows their number."""

from typing import cast

from torch import nn


class Backbone(nn.Module):
    """A network that maps images, float32 [b, 3, s, s], to features [b, dimension].

    Networks of torchvision and timm are not instances of this class; ``as_backbone`` adds the missing attribute.
    """

    dimension: int


def as_backbone(network: nn.Module, dimension: int) -> Backbone:
    """Return the library's network itself, with the attribute ``dimension`` that every backbone has."""
    backbone = cast(Backbone, network)
    backbone.dimension = dimension
    return backbone
