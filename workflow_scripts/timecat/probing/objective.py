"""How far heads are from a minimum of their training objective: its gradient there, relative to that at zero weights.

The objective of a head is the mean cross entropy over the training rows of all views that it was trained on, in evaluation
mode (normalised by the statistics that the head has), and its penalty:

    SGD     CE(W, b, γ, β) + wd/2 (|W|² + |b|²)    the gradient is that of W, b, γ and β (of W and b without batch norm)
    L-BFGS  CE(W, b) + wd/2 |W|²                   the gradient is that of W and b; γ = 1 and β = 0 are no parameters

Both are divided by the length of the gradient of W and b at W = 0, b = 0, γ = 1, β = 0, which is the same for all heads.
SGD may raise γ, which is not penalised, and lower W: then its penalty weighs less than its weight decay says.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from workflow_scripts.timecat.probing.heads import BN_EPS, StackedHeads
from workflow_scripts.timecat.probing.saved_heads import SavedHead
from workflow_scripts.timecat.probing.training_rows import Piece


def relative_gradients(
    heads: Sequence[SavedHead], weight_decays: Sequence[float], rows: Iterable[Piece], by_sgd: bool
) -> npt.NDArray[np.float64]:
    """Length of each head's gradient relative to that at zero weights, float64 [heads], from one pass over the rows.

    heads: on the device of the rows; those that share a batch norm's statistics share the tensor. by_sgd: whose objective it is.
    """
    sums = [_CrossEntropy(head.weight) for head in heads]
    statistics = {id(head.running_mean): head for head in heads}
    at_zero = {key: _CrossEntropy(head.weight) for key, head in statistics.items()}
    count = 0
    for x, labels in rows:
        for key, first in statistics.items():
            x_hat = x
            if first.running_mean is not None and first.running_var is not None:
                x_hat = normalised(x, first.running_mean, first.running_var)
            at_zero[key].add(x_hat.new_full((len(first.weight), len(x)), 1 / len(first.weight)), x_hat, labels)
            # A head has its own products, of operands that are tensors of their own: no bit depends on the other heads.
            for head, own in zip(heads, sums):
                if id(head.running_mean) == key:
                    W, b = _folded(head)
                    own.add(torch.softmax(torch.addmm(b.unsqueeze(1), W, x_hat.T), 0), x_hat, labels)
        count += len(labels)
        del x, x_hat  # before the next rows are read
    zero = {key: _length(own.mean(count)) for key, own in at_zero.items()}
    return np.array(
        [
            _length(_gradient(head, decay, own.mean(count), by_sgd)) / zero[id(head.running_mean)]
            for head, decay, own in zip(heads, weight_decays, sums, strict=True)
        ]
    )


class _CrossEntropy:
    """Sums over rows of the cross entropy's gradient by W and b of the product W x̂ + b."""

    def __init__(self, W: torch.Tensor) -> None:
        self._dW = torch.zeros_like(W, memory_format=torch.contiguous_format)
        self._db = W.new_zeros(len(W), dtype=torch.float64)

    def add(self, p: torch.Tensor, x_hat: torch.Tensor, labels: torch.Tensor) -> None:
        """Add rows: probabilities [C, m], which are overwritten, x̂ [m, D] and labels int64 [m]."""
        delta = p.scatter_add_(0, labels.unsqueeze(0), p.new_full((1, 1), -1.0).expand(1, len(labels)))
        torch.addmm(self._dW, delta, x_hat, out=self._dW)
        self._db += delta.sum(1, dtype=torch.float64)

    def mean(self, rows: int) -> list[torch.Tensor]:
        """The gradient of the mean, float64 [C, D] and [C]."""
        return [self._dW.double().div_(rows), self._db / rows]


def _folded(head: SavedHead) -> tuple[torch.Tensor, torch.Tensor]:
    """W' and b' of a head, in which its affine is folded (see heads)."""
    W, b = head.weight.clone(), head.bias.clone()
    if head.gamma is not None and head.beta is not None:
        b += W @ head.beta
        W *= head.gamma
    return W, b


def _gradient(head: SavedHead, decay: float, of_product: list[torch.Tensor], by_sgd: bool) -> list[torch.Tensor]:
    """The parts of a head's gradient, from the cross entropy's by W and b of the product, which are overwritten."""
    W, b, (dW, db), affine = head.weight.double(), head.bias.double(), of_product, []
    if by_sgd and head.gamma is not None and head.beta is not None:
        affine = [(W * dW).sum(0), db @ W]
        dW.mul_(head.gamma.double()).addr_(db, head.beta.double())
    return [dW.add_(W, alpha=decay), db + decay * b if by_sgd else db, *affine]


def _length(parts: list[torch.Tensor]) -> float:
    return math.hypot(*(float(part.norm()) for part in parts))


def heads_of(heads: StackedHeads) -> list[SavedHead]:
    """Views of stacked heads, one by one."""
    found = []
    for index in range(heads.heads):
        own = {"weight": heads.W[index], "bias": heads.b[index]}
        if heads.batch_norm:
            own |= {"gamma": heads.gamma[index], "beta": heads.beta[index]}
            own |= {"running_mean": heads.running_mean, "running_var": heads.running_var}
        found.append(SavedHead(**own))
    return found


def normalised(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """(x - mean) / sqrt(variance + ε), as batch norm does it in evaluation mode."""
    return F.batch_norm(x, mean, variance, training=False, eps=BN_EPS)
