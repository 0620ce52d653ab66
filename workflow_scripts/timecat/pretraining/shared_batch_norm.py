"""Compute batch norm over the images of several processes, with the same statistics as in one process.

torch.nn.SyncBatchNorm works over all processes and on GPUs only. The batch norm of this module works over the processes
that share a group of images. It uses plain sums, so that a test can compare it with batch norm in one process.
"""

from functools import cache
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.pretraining.ghost_batch_norm import set_ghost_batch

_groups: dict[
    int, Any
] = {}  # size of groups -> this process's torch group; not stored in the layers, because these are copied


def share_batch_norm(model: nn.Module, processes: int, rank: int, size: int) -> None:
    """Make every batch norm of the model compute statistics over ``processes`` consecutive ranks, in place.

    All ``size`` processes must call this function, and all must have equally many images at each step. Parameters,
    buffers, their names and evaluation do not change. The running statistics are updated as by batch norm over the
    images of these ranks. Raise UserError for a layer that does more than batch norm (some layers of timm also apply an
    activation).
    """
    for layer in model.modules():
        if isinstance(layer, _BatchNorm) and type(layer).forward is not _BatchNorm.forward:
            raise UserError(
                f"limits.pretrain_gpus: the statistics of a {type(layer).__name__} cannot be computed over {processes} "
                "GPUs; set pretrain.accumulation or pretrain.ghost_batch so that each GPU has all images of a group, "
                "or set limits.pretrain_gpus to 1"
            )
    if processes == size:
        _groups[processes] = distributed.group.WORLD  # two groups of all processes could wait for each other
    if processes not in _groups:
        for first in range(0, size, processes):  # torch requires every process to call new_group for every group
            group = distributed.new_group(range(first, first + processes))
            if first <= rank < first + processes:
                _groups[processes] = group
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            shared: Any = layer  # torch's type for modules does not allow numbers as attributes
            kind: type = type(layer)  # annotated, because mypy does not see that a class with a __hash__ is hashable
            shared.__class__ = _shared(kind)
            shared.processes = processes


def keep_batch_norm(model: nn.Module, images: int) -> None:
    """Undo share_batch_norm in place: compute statistics over groups of ``images`` images of this process alone."""
    for layer in model.modules():
        if hasattr(layer, "processes"):
            shared: Any = layer
            shared.__class__ = shared.alone
            del shared.processes
    set_ghost_batch(model, images)


@cache
def _shared(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    base: Any = kind

    class Shared(base):
        alone = kind
        processes: int

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return super().forward(x)
            over = [dimension for dimension in range(x.dim()) if dimension != 1]
            shape = [1, -1] + [1] * (x.dim() - 2)
            wide = x.to(torch.promote_types(x.dtype, torch.float32))  # statistics of bf16 are in float32, as in torch
            mean = self.mean_of_all(wide.mean(over))
            centred = wide - mean.view(shape)
            variance = self.mean_of_all(centred.square().mean(over))
            self.update(mean.detach(), variance.detach(), self.processes * x.numel() // x.shape[1])
            scale = torch.rsqrt(variance + self.eps)
            if self.weight is not None:
                scale = scale * self.weight
            y = centred * scale.view(shape)
            return (y if self.bias is None else y + self.bias.view(shape)).to(x.dtype)

        def mean_of_all(self, value: torch.Tensor) -> torch.Tensor:
            return _Sum.apply(value, _groups[self.processes]) / self.processes

        @torch.no_grad()
        def update(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
            if self.running_mean is None:
                return
            self.num_batches_tracked += 1
            share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * count / (count - 1), share)

    Shared.__name__ = f"Shared{kind.__name__}"
    return Shared


class _Sum(torch.autograd.Function):
    """Autograd function that sums a tensor over the processes of a group. Gradients are summed, too."""

    @staticmethod
    def forward(context: Any, value: torch.Tensor, group: distributed.ProcessGroup) -> torch.Tensor:
        context.group = group
        total = value.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradient.clone()
        distributed.all_reduce(total, group=context.group)
        return total, None
