"""What every backbone is: a network that turns images into features and knows how many."""

from typing import cast

from torch import nn


class Backbone(nn.Module):
    """A network from images float32 [b, 3, s, s] to features [b, dimension].

    Networks of torchvision and timm are not made as one; ``as_backbone`` gives them what they lack.
    """

    dimension: int


def as_backbone(network: nn.Module, dimension: int) -> Backbone:
    """The library's network itself, with the attribute that makes a backbone of it."""
    backbone = cast(Backbone, network)
    backbone.dimension = dimension
    return backbone
