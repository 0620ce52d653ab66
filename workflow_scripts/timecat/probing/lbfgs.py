"""Fit multinomial logistic regression to convergence by L-BFGS, in preconditioned coordinates.

The objective is F(W, b) = CE(W x̂ + b) + wd/2 |W|² with the mean cross entropy CE over rows. In scikit-learn's terms,
C = 1 / (rows wd) for three or more classes. For two classes, LogisticRegression fits the difference of both rows of W,
and C = 2 / (rows wd).

Features of networks are correlated, and L-BFGS takes hundreds of steps if the eigenvalues of x̂ᵀx̂ differ much in size.
With x̂ᵀx̂ / rows = V Λ Vᵀ, F's second derivative is about a V Λ Vᵀ + wd for every class, where a is the mean of
p (1 - p) over rows and classes. So the search is for U in W = U diag(a Λ + wd)^(-1/2) Vᵀ: in U the condition number of
the objective is small. This changes the path of the search but not the minimum, which is unique. F is convex, so the
line search only has to find a step that lowers F enough.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from workflow_scripts.timecat.probing.training_rows import Piece

TOLERANCE = 1e-5  # length of the gradient at which the search stops, relative to its length at zero weights
MOST_STEPS = 1_000
HISTORY = 10  # number of steps from which the second derivative is approximated
LEAST_LENGTH = 2.0**-20  # shortest step, relative to the one that L-BFGS proposes
SUFFICIENT = 1e-4  # Armijo's condition: the required share of the decrease that the gradient predicts
ROUNDING = 1e-7  # relative rounding error of the loss in float32: smaller differences mean nothing

Parameters = tuple[torch.Tensor, torch.Tensor]  # W, b
Rows = Callable[[], Iterable[Piece]]  # returns the pieces x̂ [m, D], labels [m]: the same pieces in each call


@dataclass(frozen=True)
class Solution:
    """Minimum that a search found: W float32 [C, D] and b float32 [C].

    relative_gradient: length of the gradient at the minimum, relative to its length at zero weights.
    """

    W: torch.Tensor
    b: torch.Tensor
    steps: int
    relative_gradient: float

    @property
    def parameters(self) -> "Parameters":
        """Parameters W and b of the solution."""
        return self.W, self.b


class _Point(NamedTuple):
    """Point (W, b) at which F was computed.

    dW, db: gradient of F, float32. curvature: mean of p (1 - p) over rows and classes.
    """

    W: torch.Tensor
    b: torch.Tensor
    loss: float
    dW: torch.Tensor
    db: torch.Tensor
    curvature: float

    @property
    def length(self) -> float:
        """Euclidean length of the gradient of F."""
        return math.sqrt(float(self.dW.double().square().sum() + self.db.double().square().sum()))


class Solver:
    """Solver that finds the minimum of F on the training rows of one fit, for any weight decay.

    rows: centred features. classes, dimension: C and D. device: torch device of the pieces of rows.
    """

    def __init__(self, rows: Rows, classes: int, dimension: int, device: torch.device | str) -> None:
        self._rows = rows
        self._zero = torch.zeros(classes, dimension, device=device), torch.zeros(classes, device=device)
        gram = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)
        count = 0
        for x, _ in rows():
            gram += x.T @ x
            count += len(x)
        self._count = count
        eigenvalues, vectors = torch.linalg.eigh(gram / count)
        self._eigenvalues, self._V = eigenvalues.clamp(min=0).float(), vectors.float()
        self._first_length = self._at(*self._zero, 0.0).length

    def path(
        self, weight_decays: Iterable[float], starts: Mapping[float, Solution] | None = None
    ) -> dict[float, Solution]:
        """Return the solutions by weight decay, from the largest to the smallest.

        starts: solutions of another fit, for the same weight decays. With them, a search begins at the other fit's
        solution plus the difference between both fits at the previous weight decay. Without them, it begins at a linear
        extrapolation (in the logarithm of the weight decay) of the last two solutions.
        """
        found: dict[float, Solution] = {}
        decays = sorted(set(weight_decays), reverse=True)
        for number, weight_decay in enumerate(decays):
            last = found[decays[number - 1]] if number else None
            if starts is not None:
                begin = starts[weight_decay].parameters
                if last is not None:
                    begin = _moved(begin, 1.0, starts[decays[number - 1]].parameters, last.parameters)
            elif last is not None and number > 1:
                further = math.log(weight_decay / decays[number - 1]) / math.log(
                    decays[number - 1] / decays[number - 2]
                )
                begin = _moved(last.parameters, further, found[decays[number - 2]].parameters, last.parameters)
            else:
                begin = self._zero if last is None else last.parameters
            found[weight_decay] = self.minimum(weight_decay, *begin)
        return found

    def minimum(self, weight_decay: float, W: torch.Tensor, b: torch.Tensor) -> Solution:
        """Return the solution for a weight decay, found by a search that begins at (W, b)."""
        here = self._at(W, b, weight_decay)
        round_ = _Coordinates(
            self._V, (here.curvature * self._eigenvalues + weight_decay).rsqrt(), here.curvature**-0.5
        )
        memory = _Memory()
        steps = 0
        while here.length > TOLERANCE * self._first_length and steps < MOST_STEPS:
            gradient = round_.gradient(here.dW, here.db)
            direction = memory.direction(gradient)
            there, length = self._step(here, round_, direction, float(gradient @ direction), weight_decay)
            if there is None:
                if memory.is_empty:
                    break  # rounding to float32 prevents a further decrease
                memory = _Memory()
                continue
            memory.keep(length * direction, round_.gradient(there.dW, there.db) - gradient)
            here, steps = there, steps + 1
        return Solution(here.W, here.b, steps, here.length / self._first_length)

    def _step(
        self, here: _Point, round_: "_Coordinates", direction: torch.Tensor, slope: float, weight_decay: float
    ) -> tuple[_Point | None, float]:
        """Return the first point along the direction at which F is low enough (or None), and the length of the step.

        The tried lengths are 1, 1/2, 1/4, ... times the direction.
        """
        length = 1.0
        while length > LEAST_LENGTH:
            dW, db = round_.weights(length * direction)
            there = self._at(here.W + dW, here.b + db, weight_decay)
            if there.loss <= here.loss + SUFFICIENT * length * slope + ROUNDING * abs(here.loss):
                return there, length
            length /= 2
        return None, length

    def _at(self, W: torch.Tensor, b: torch.Tensor, weight_decay: float) -> _Point:
        """Return F and its gradient at (W, b), summed in float32 within pieces and in float64 over pieces."""
        loss, certain = (torch.zeros((), dtype=torch.float64, device=W.device) for _ in range(2))
        dW, db = (torch.zeros_like(part, dtype=torch.float64) for part in (W, b))
        for x, labels in self._rows():
            log_p = torch.log_softmax(torch.addmm(b, x, W.T), 1)
            loss -= log_p.gather(1, labels.unsqueeze(1)).sum()
            delta = log_p.exp_()
            certain += delta.square().sum()
            delta.scatter_add_(1, labels.unsqueeze(1), delta.new_full((1, 1), -1.0).expand(len(labels), 1))
            dW += delta.T @ x
            db += delta.sum(0)
        n, wide = self._count, W.double()
        total = float(loss / n + weight_decay / 2 * wide.square().sum())
        curvature = (1 - float(certain) / n) / len(b)
        return _Point(W, b, total, (dW / n + weight_decay * wide).float(), (db / n).float(), max(curvature, 1e-8))


def _moved(begin: Parameters, share: float, start: Parameters, end: Parameters) -> Parameters:
    """Return ``begin`` moved by ``share`` times the difference between end and start."""
    W, b = (own + share * (after - before) for own, before, after in zip(begin, start, end))
    return W, b


@dataclass(frozen=True)
class _Coordinates:
    """Coordinates of the search, float32 [C D + C]: U, row after row, then b divided by ``unit``.

    V: [D, D]. scale: diag(a Λ + wd)^(-1/2), [D].
    """

    V: torch.Tensor
    scale: torch.Tensor
    unit: float

    def gradient(self, dW: torch.Tensor, db: torch.Tensor) -> torch.Tensor:
        """Return the gradient in the coordinates of the search from the gradients of W and b."""
        return torch.cat([((dW @ self.V) * self.scale).flatten(), db * self.unit])

    def weights(self, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the step of (W, b) that corresponds to a step in the coordinates of the search."""
        dimension = len(self.scale)
        classes = len(step) // (dimension + 1)
        U = step[: classes * dimension].view(classes, dimension)
        return (U * self.scale) @ self.V.T, step[classes * dimension :] * self.unit


class _Memory:
    """Last steps and changes of the gradient, from which L-BFGS computes its direction (Nocedal and Wright, 7.4)."""

    def __init__(self) -> None:
        self._pairs: list[tuple[torch.Tensor, torch.Tensor, float]] = []

    @property
    def is_empty(self) -> bool:
        return not self._pairs

    def keep(self, step: torch.Tensor, change: torch.Tensor) -> None:
        """Keep a step s and its change y of the gradient if y·s > 0 (true up to rounding, because F is convex)."""
        product = float(change @ step)
        if product > 0:
            self._pairs = [*self._pairs, (step, change, product)][-HISTORY:]

    def direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return minus the approximate inverse of the second derivative times the gradient."""
        found, shares = -gradient, []
        for step, change, product in reversed(self._pairs):
            shares.append(float(step @ found) / product)
            found = found - shares[-1] * change
        if self._pairs:
            _, change, product = self._pairs[-1]
            found = found * (product / float(change @ change))
        for (step, change, product), share in zip(self._pairs, reversed(shares)):
            found = found + (share - float(change @ found) / product) * step
        return found
