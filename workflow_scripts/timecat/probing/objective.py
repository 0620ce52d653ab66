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

from workflow_scripts.timecat.features.memory import evaluation_chunk
from workflow_scripts.timecat.probing.heads import BN_EPS, StackedHeads
from workflow_scripts.timecat.probing.training_rows import Piece


class Gradients:
    """The gradients of heads, as sums over the rows that are added. The heads are read and not changed.

    weight_decays: of the heads, in order. by_sgd: whose objective it is.
    """

    def __init__(self, heads: StackedHeads, weight_decays: Sequence[float], by_sgd: bool) -> None:
        self.heads, self._weight_decays, self._by_sgd = heads, weight_decays, by_sgd
        self._zero = _CrossEntropy(heads)
        self._sums = [_CrossEntropy(heads) for _ in weight_decays]
        self._rows = 0

    def add(self, x: torch.Tensor, labels: torch.Tensor) -> None:
        """Add rows: features float32 [m, D] and labels int64 [m]."""
        heads, C = self.heads, self.heads.classes
        x_hat = normalised(x, heads.running_mean, heads.running_var) if heads.batch_norm else x
        onehot = F.one_hot(labels, C).to(x_hat.dtype)  # [m, C]
        logits = heads.logits(x)
        self._zero.add(1 / C - onehot, x_hat)
        # A head has its own products, of operands that are tensors of their own: their bits do not depend on the others.
        for head, sums in enumerate(self._sums):
            sums.add(torch.softmax(logits[:, head], 1) - onehot, x_hat)
        self._rows += len(labels)

    def relative(self) -> npt.NDArray[np.float64]:
        """Length of each head's gradient relative to that at zero weights, [H]."""
        zero = _length(*self._zero.mean(self._rows))
        return np.array([_length(*self._gradient(head)) / zero for head in range(self.heads.heads)])

    def _gradient(self, head: int) -> list[torch.Tensor]:
        heads, decay = self.heads, self._weight_decays[head]
        W, b = heads.W[head].double(), heads.b[head].double()
        dW, db = self._sums[head].mean(self._rows)
        if not self._by_sgd:
            return [dW + decay * W, db]
        if not heads.batch_norm:
            return [dW + decay * W, db + decay * b]
        gamma, beta = heads.gamma[head].double(), heads.beta[head].double()
        dW_of_head = dW * gamma + torch.outer(db, beta)
        return [dW_of_head + decay * W, db + decay * b, (W * dW).sum(0), db @ W]


class _CrossEntropy:
    """Sums over rows of the cross entropy's gradient by W and b of the product W x̂ + b."""

    def __init__(self, heads: StackedHeads) -> None:
        self._dW = heads.W.new_zeros(heads.classes, heads.dim)
        self._db = heads.W.new_zeros(heads.classes, dtype=torch.float64)

    def add(self, delta: torch.Tensor, x_hat: torch.Tensor) -> None:
        """Add rows: softmax minus onehot [m, C], and x̂ [m, D]."""
        torch.addmm(self._dW, delta.T, x_hat, out=self._dW)
        self._db += delta.sum(0, dtype=torch.float64)

    def mean(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradient of the mean, float64 [C, D] and [C]."""
        return self._dW.double() / rows, self._db / rows


def _length(*parts: torch.Tensor) -> float:
    return math.hypot(*(float(part.norm()) for part in parts))


def relative_gradients(gradients: Sequence[Gradients], rows: Iterable[Piece]) -> list[npt.NDArray[np.float64]]:
    """What each of the gradients is relative to that at zero weights, from one pass over the rows."""
    for features, labels in rows:
        for own in gradients:
            chunk = evaluation_chunk(own.heads.classes)
            for x, y in zip(features.split(chunk), labels.split(chunk)):
                own.add(x, y)
    return [own.relative() for own in gradients]


def normalised(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """(x - mean) / sqrt(variance + ε), as batch norm does it in evaluation mode."""
    return F.batch_norm(x, mean, variance, training=False, eps=BN_EPS)
