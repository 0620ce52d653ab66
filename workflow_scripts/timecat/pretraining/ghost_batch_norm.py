"""Compute batch norm over groups of images that are smaller than the batch: ghost batch norm (Hoffer et al. 2017).

If a published recipe uses 8 devices with batch norm on each device, its statistics are over an eighth of the batch.
Here one device has all images of a batch, or any part of them, and computes the statistics over consecutive groups of
the same size as in the recipe.
"""

from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def set_ghost_batch(model: nn.Module, images: int) -> None:
    """Make every batch norm of the model compute training statistics over groups of ``images`` images, in place.

    Parameters, buffers, their names and evaluation do not change. Running statistics are updated once per group, as if
    each group were a batch. With torch's cumulative mean (momentum None), they are the plain mean over all groups.
    """
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            ghost: Any = layer  # torch's type for modules does not allow numbers as attributes
            kind: type = type(layer)  # annotated, because mypy does not see that a class with a __hash__ is hashable
            ghost.__class__ = _ghost(kind)
            ghost.ghost_batch = images


@cache
def _ghost(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    """Return a subclass of a batch-norm class that uses ghost batches.

    timm has batch-norm classes that differ from torch's, so each class gets a separate subclass.
    """

    base: Any = kind

    class Ghost(base):
        ghost_batch: int

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return super().forward(x)
            if len(x) % self.ghost_batch:
                raise ValueError(
                    f"a batch of {len(x)} images is not a multiple of the ghost batch of {self.ghost_batch}"
                )
            return torch.cat([kind.forward(self, group) for group in x.split(self.ghost_batch)])

    Ghost.__name__ = f"Ghost{kind.__name__}"
    return Ghost
