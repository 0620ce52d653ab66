"""Batch norm over images that several processes have: statistics are what one process with all of them computes.

(torch.nn.SyncBatchNorm does it over all processes and on GPUs only; here it is over as many as share a group of images,
and plain sums, so that a test can hold it to batch norm in one process.)
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
] = {}  # size of groups -> the torch group that this process is in; not in the layers, for those are copied


def share_batch_norm(model: nn.Module, processes: int, rank: int, size: int) -> None:
    """Let every batch norm of the model take statistics over the images of ``processes`` consecutive ranks, in place.

    All ``size`` processes call this, and all have equally many images at each step. Parameters, buffers and their names
    stay. In evaluation nothing changes. The running statistics are updated as by batch norm over all those images.
    UserError for a batch norm that does more than that (timm has some that end in an activation).
    """
    for layer in model.modules():
        if isinstance(layer, _BatchNorm) and type(layer).forward is not _BatchNorm.forward:
            raise UserError(
                f"limits.pretrain_gpus: the statistics of a {type(layer).__name__} cannot be taken over {processes} GPUs; give "
                "each GPU whole statistics of its own with pretrain.accumulation or pretrain.ghost_batch, or set it to 1"
            )
    if processes == size:
        _groups[processes] = distributed.group.WORLD  # one more group could wait for this one, and this one for it
    if processes not in _groups:
        for first in range(0, size, processes):  # every process has to take part in the making of every group
            group = distributed.new_group(range(first, first + processes))
            if first <= rank < first + processes:
                _groups[processes] = group
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            shared: Any = layer  # torch's type of a module takes no numbers for attributes
            kind: type = type(layer)  # mypy does not see that a class with a __hash__ is itself hashable
            shared.__class__ = _shared(kind)
            shared.processes = processes


def keep_batch_norm(model: nn.Module, images: int) -> None:
    """Undo share_batch_norm: statistics over groups of that many images of this process's own, in place."""
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
            wide = x.to(torch.promote_types(x.dtype, torch.float32))  # statistics of bf16 are float32's, as in torch
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
    """The sum of a group's tensors, in each of its processes; so is that of their gradients."""

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
