"""Define a fixed random projection of the pixels, the floor of a study without any network."""

import math

import torch
from torch import nn
from torch.nn import functional

from workflow_scripts.timecat.backbones.backbone import Backbone
from workflow_scripts.timecat.backbones.catalogue import RANDOM_PROJECTION
from workflow_scripts.timecat.errors import UserError


class RandomProjection(Backbone):
    """Backbone that multiplies the pixels of an image by a fixed Gaussian matrix. Features: float32 [batch, dimension].

    Images are first reduced to ``side`` pixels by averaging areas; images smaller than ``side`` keep their size. Each
    feature is a weighted sum of all pixel values. The weights are drawn from N(0, 1 / number of values), so distances
    between images keep their order of magnitude (Johnson and Lindenstrauss 1984).
    """

    def __init__(self, dimension: int, side: int, image_size: int | None) -> None:
        super().__init__()
        if image_size is None:
            raise UserError(f"backbone {RANDOM_PROJECTION} needs the side of the images in pixels: pass image_size")
        self.side = min(side, image_size)
        values = 3 * self.side**2
        self.projection = nn.Linear(values, dimension, bias=False)
        nn.init.normal_(self.projection.weight, std=1 / math.sqrt(values))
        self.dimension = dimension

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] != self.side:
            x = functional.adaptive_avg_pool2d(x, self.side)
        return self.projection(x.flatten(1))
