"""Slow reference for `probing/heads.py`: one nn.BatchNorm1d, nn.Linear and torch.optim.SGD per weight decay.

The fast implementation must equal it: float64 to rtol 1e-9, float32 logits to rtol 1e-5 after one epoch and 1e-4 after
three. The constructor and the methods have the same arguments as in StackedHeads.
"""

import torch
from torch import nn
from torch.nn import functional as F

from workflow_scripts.timecat.probing.heads import BN_EPS, BN_MOMENTUM, TOP


class ReferenceHeads:
    """H separate heads that start from the same weight [C, D]; StackedHeads documents the arguments."""

    def __init__(self, weight, weight_decays, *, momentum=0.9, batch_norm=True, dtype=torch.float32, device="cpu"):
        self.models, self.optimizers = [], []
        for weight_decay in weight_decays:
            C, D = weight.shape
            linear = nn.Linear(D, C, dtype=dtype, device=device)
            with torch.no_grad():
                linear.weight.copy_(weight)
                linear.bias.zero_()
            groups = [{"params": list(linear.parameters()), "weight_decay": weight_decay}]
            layers = [linear]
            if batch_norm:
                bn = nn.BatchNorm1d(D, eps=BN_EPS, momentum=BN_MOMENTUM, dtype=dtype, device=device)
                groups.append({"params": list(bn.parameters()), "weight_decay": 0.0})
                layers.insert(0, bn)
            self.models.append(nn.Sequential(*layers))
            self.optimizers.append(torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=True))

    def train_step(self, features, labels, lr: float):
        """Take one step per head on a batch [B, D], and return (losses, top-1 counts, top-5 counts), each [H].

        The loss is summed over rows. A count is the number of rows with the label among the largest 1 or 5 logits.
        """
        losses, top1, top5 = [], [], []
        for model, optimizer in zip(self.models, self.optimizers):
            for group in optimizer.param_groups:
                group["lr"] = lr
            model.train()
            optimizer.zero_grad()
            z = model(features)
            F.cross_entropy(z, labels).backward()
            optimizer.step()
            z = z.detach()
            losses.append(F.cross_entropy(z, labels, reduction="sum"))
            best = z.topk(min(TOP, z.shape[1])).indices == labels[:, None]
            top1.append(best[:, 0].sum())
            top5.append(best.any(1).sum())
        return torch.stack(losses), torch.stack(top1), torch.stack(top5)

    @torch.no_grad()
    def logits(self, features) -> torch.Tensor:
        """Return the logits [B, H, C] of features [B, D], normalised by the running statistics."""
        return torch.stack([model.eval()(features) for model in self.models], 1)
