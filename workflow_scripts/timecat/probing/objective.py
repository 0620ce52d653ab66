"""Measure how far heads are from a minimum of their training objective, by the relative length of the gradient.

The objective of a head is its penalty plus the mean cross entropy over the training rows of all views that it was
trained on, in evaluation mode (normalised by the running statistics of the head):

    SGD     CE(W, b, γ, β) + wd/2 (|W|² + |b|²)    the gradient is by W, b, γ and β (by W and b without batch norm)
    L-BFGS  CE(W, b) + wd/2 |W|²                   the gradient is by W and b; γ = 1 and β = 0 are not trained

The length of either gradient is divided by the length of the gradient by W and b at W = 0, b = 0, γ = 1, β = 0, which
is the same for all heads. SGD may raise γ, which is not penalised, and lower W: the weight decay then penalises less
than its value suggests.
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
    """Return the length of each head's gradient relative to its length at zero weights, float64 [heads].

    The rows are read once. heads: heads on the device of the rows; heads with the same running statistics share the
    tensors of these. by_sgd: True for the objective of SGD, False for the objective of L-BFGS.
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
            # Each head has separate products of separate tensors, so its bits do not depend on the other heads.
            for head, own in zip(heads, sums):
                if id(head.running_mean) == key:
                    W, b = _folded(head)
                    own.add(torch.softmax(torch.addmm(b.unsqueeze(1), W, x_hat.T), 0), x_hat, labels)
        count += len(labels)
        del x, x_hat  # free their memory before the next rows are read
    zero = {key: _length(own.mean(count)) for key, own in at_zero.items()}
    return np.array(
        [
            _length(_gradient(head, decay, own.mean(count), by_sgd)) / zero[id(head.running_mean)]
            for head, decay, own in zip(heads, weight_decays, sums, strict=True)
        ]
    )


class _CrossEntropy:
    """Sums over rows of the gradient of the cross entropy with respect to W and b of the product W x̂ + b."""

    def __init__(self, W: torch.Tensor) -> None:
        self._dW = torch.zeros_like(W, memory_format=torch.contiguous_format)
        self._db = W.new_zeros(len(W), dtype=torch.float64)

    def add(self, p: torch.Tensor, x_hat: torch.Tensor, labels: torch.Tensor) -> None:
        """Add the gradients of rows: probabilities [C, m], which are overwritten, x̂ [m, D] and labels int64 [m]."""
        delta = p.scatter_add_(0, labels.unsqueeze(0), p.new_full((1, 1), -1.0).expand(1, len(labels)))
        torch.addmm(self._dW, delta, x_hat, out=self._dW)
        self._db += delta.sum(1, dtype=torch.float64)

    def mean(self, rows: int) -> list[torch.Tensor]:
        """Return the gradient of the mean cross entropy over ``rows`` rows, float64 [C, D] and [C]."""
        return [self._dW.double().div_(rows), self._db / rows]


def _folded(head: SavedHead) -> tuple[torch.Tensor, torch.Tensor]:
    """Return W' and b' of a head: W and b with the affine part of its batch norm folded in (see heads)."""
    W, b = head.weight.clone(), head.bias.clone()
    if head.gamma is not None and head.beta is not None:
        b += W @ head.beta
        W *= head.gamma
    return W, b


def _gradient(head: SavedHead, decay: float, of_product: list[torch.Tensor], by_sgd: bool) -> list[torch.Tensor]:
    """Return the parts of a head's gradient: by W, by b and, with SGD and batch norm, by γ and β.

    of_product: gradients of the cross entropy by W' and b' of the product; they are overwritten.
    """
    W, b, (dW, db), affine = head.weight.double(), head.bias.double(), of_product, []
    if by_sgd and head.gamma is not None and head.beta is not None:
        affine = [(W * dW).sum(0), db @ W]
        dW.mul_(head.gamma.double()).addr_(db, head.beta.double())
    return [dW.add_(W, alpha=decay), db + decay * b if by_sgd else db, *affine]


def _length(parts: list[torch.Tensor]) -> float:
    return math.hypot(*(float(part.norm()) for part in parts))


def heads_of(heads: StackedHeads) -> list[SavedHead]:
    """Return each of the stacked heads as a SavedHead, which shares memory with the stack."""
    found = []
    for index in range(heads.heads):
        own = {"weight": heads.W[index], "bias": heads.b[index]}
        if heads.batch_norm:
            own |= {"gamma": heads.gamma[index], "beta": heads.beta[index]}
            own |= {"running_mean": heads.running_mean, "running_var": heads.running_var}
        found.append(SavedHead(**own))
    return found


def normalised(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Return (x - mean) / sqrt(variance + ε), as batch norm computes it in evaluation mode."""
    return F.batch_norm(x, mean, variance, training=False, eps=BN_EPS)
