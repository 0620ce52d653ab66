"""Ghost batch norm: statistics of a few images at a time, whatever the size of the batch (Hoffer et al. 2017).

A recipe that was trained on 8 devices with batch norm local to each has statistics over an eighth of its batch. Here one
device sees the whole batch, or any part of it, and takes them over consecutive groups of as many images.
"""

from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def set_ghost_batch(model: nn.Module, images: int) -> None:
    """Let every batch norm of the model take statistics over groups of that many images in training, in place.

    Parameters, buffers and their names stay. In evaluation nothing changes. Running statistics are updated group after
    group, as if each group were a batch: with torch's cumulative mean (momentum None) they are the plain mean over all
    groups.
    """
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            ghost: Any = layer  # torch's type of a module takes no numbers for attributes
            kind: type = type(layer)  # mypy does not see that a class with a __hash__ is itself hashable
            ghost.__class__ = _ghost(kind)
            ghost.ghost_batch = images


@cache
def _ghost(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    """A kind of batch norm, made a ghost batch norm. (A class made for each kind: timm has some of its own.)"""

    base: Any = kind

    class Ghost(base):
        ghost_batch: int

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return super().forward(x)
            if len(x) % self.ghost_batch:
                raise ValueError(f"a batch of {len(x)} images is not whole groups of {self.ghost_batch}")
            return torch.cat([kind.forward(self, group) for group in x.split(self.ghost_batch)])

    Ghost.__name__ = f"Ghost{kind.__name__}"
    return Ghost
