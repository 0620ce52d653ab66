"""Train thousands of small networks at the same time on the counterexample's four points.

A network is f(x) = w . h(x) + b, trained with cross-entropy and SGD.
h is the hidden layer, the network's features. There are three kinds of hidden layers:

    gates   h_j = u_j x_j         the two features of the counterexample, each behind a learned gate
    linear  h = U x               `width` linear units: they span the remaining features
    relu    h = max(0, U x + c)   can fold a feature, |x1|, which the counterexample's classifiers cannot

Runs (mixtures x seeds) are the last axis of every array, so that one step of all runs is a few operations. No sum runs
across this axis, so a run does not depend on the others. tests.references.counterexample trains one network at
a time in torch; a test checks that both give the same results.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.counterexample.exact import IS_POSITIVE, POINTS, masses

KINDS = ("gates", "linear", "relu")


@dataclass(frozen=True)
class Recipe:
    """Training settings of a network.

    weight_decay: factor of u, U and w that is added to their gradients; biases have no weight decay.
    """

    lr: float
    weight_decay: float
    batch_size: int


@dataclass
class Networks:
    """R networks of one kind.

    U: [H, 2, R] (for gates: zero except on the diagonal). c, w: [H, R]. b: [R].
    """

    kind: str
    U: np.ndarray
    c: np.ndarray
    w: np.ndarray
    b: np.ndarray

    def hidden(self, points: npt.ArrayLike = POINTS) -> np.ndarray:
        """Return the hidden layer h at P points [P, 2], as [H, P, R]."""
        columns = [x1 * self.U[:, 0] + x2 * self.U[:, 1] for x1, x2 in np.asarray(points)]
        h = np.stack(columns, 1)
        return np.maximum(h + self.c[:, None], 0) if self.kind == "relu" else h

    def outputs(self) -> np.ndarray:
        """Return the outputs f at the four points, [4, R]."""
        return (self.w[:, None] * self.hidden()).sum(0) + self.b


def initial(kind: str, width: int, scale: float, seeds: Sequence[int], dtype: npt.DTypeLike = np.float32) -> Networks:
    """Return one network per seed, which depends only on the seed.

    Weights are drawn from N(0, scale² / inputs of the layer); biases are 0.
    """
    H, fan_in = (2, 1) if kind == "gates" else (width, 2)
    R = len(seeds)
    U, w = np.empty((H, 2, R)), np.empty((H, R))
    for r, seed in enumerate(seeds):
        draws = _normal(randomness.key("counterexample", "weights", kind, seed), 3 * H)
        U[..., r] = draws[: 2 * H].reshape(H, 2) * scale / math.sqrt(fan_in)
        w[:, r] = draws[2 * H :] * scale / math.sqrt(H)
    if kind == "gates":
        U *= np.eye(2)[..., None]
    return Networks(kind, U.astype(dtype), np.zeros((H, R), dtype), w.astype(dtype), np.zeros(R, dtype))


def for_each_mixture(networks: Networks, mixtures: int) -> Networks:
    """Return a copy of the networks for each mixture, one mixture after the other."""
    parts = (networks.U, networks.c, networks.w, networks.b)
    return Networks(networks.kind, *(np.concatenate([part] * mixtures, -1) for part in parts))


def _normal(key: int, count: int) -> np.ndarray:
    """Return standard normal numbers [count], a function of the key (by the Box-Muller transform)."""
    index = np.arange(count)
    radius = np.sqrt(-2 * np.log1p(-randomness.uniform(key, index)))
    return radius * np.cos(2 * math.pi * randomness.uniform(key, index, draw=1))


def data_set(mixture: npt.ArrayLike) -> np.ndarray:
    """Return a mixture's data set: 4 x grid rows, each the number of a point, in proportion to the points' masses."""
    return np.repeat(np.arange(len(POINTS)), masses(mixture))


def batches(purpose: str, rows: int, steps: int, batch_size: int, seed: int) -> np.ndarray:
    """Return the rows of each step's batch, int64 [steps, batch_size]. The seed determines the order in each epoch."""
    epochs = math.ceil(steps * batch_size / rows)
    orders = [
        randomness.permutation(randomness.key("counterexample", purpose, seed, epoch), range(rows))
        for epoch in range(epochs)
    ]
    return np.concatenate(orders)[: steps * batch_size].reshape(steps, batch_size)


def batch_counts(data: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return how often each point occurs in each step's batch: integers, [steps, 4, mixtures x seeds].

    data: point number of each row, [mixtures, rows]. order: rows of each step's batch, [seeds, steps, batch_size].
    """
    seeds, steps, batch_size = order.shape
    counts = np.empty((steps, len(POINTS), len(data) * seeds), np.min_scalar_type(batch_size))
    for run, (points, rows) in enumerate(itertools.product(data, order)):
        drawn = points[rows]
        for point in range(len(POINTS)):
            counts[:, point, run] = (drawn == point).sum(-1)
    return counts


def train(networks: Networks, counts: np.ndarray, recipe: Recipe) -> None:
    """Train the networks in place, one step for each of ``counts`` (see batch_counts), with one run per network."""
    dtype = networks.b.dtype.type
    target = IS_POSITIVE.astype(dtype)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):  # diverged runs are counted and do not affect others
        for count in counts:
            _step(networks, count * dtype(1 / recipe.batch_size), target, recipe)


def _step(networks: Networks, share: np.ndarray, target: np.ndarray, recipe: Recipe) -> None:
    """Take one step of SGD on the mean cross-entropy.

    share: share of each point in the batch, [4, R]. target: [4, 1].
    """
    U, c, w, b = networks.U, networks.c, networks.w, networks.b
    lr, keep = b.dtype.type(recipe.lr), b.dtype.type(1 - recipe.lr * recipe.weight_decay)
    # The points are plus and minus the unit vectors, so U x is plus or minus a column of U.
    h = np.stack([U[:, 0], -U[:, 0], U[:, 1], -U[:, 1]], 1)  # [H, 4, R]
    if networks.kind == "relu":
        h += c[:, None]
        np.maximum(h, 0, out=h)
    delta = (sigmoid((w[:, None] * h).sum(0) + b) - target) * share  # [4, R]: gradient by the outputs
    dw = (h * delta).sum(1)
    dh = w[:, None] * delta
    if networks.kind == "relu":
        dh *= h > 0
        c -= lr * dh.sum(1)
    dU = np.stack([dh[:, 0] - dh[:, 1], dh[:, 2] - dh[:, 3]], 1)
    if networks.kind == "gates":
        dU *= np.eye(2, dtype=b.dtype)[..., None]
    U *= keep
    U -= lr * dU
    w *= keep
    w -= lr * dw
    b -= lr * delta.sum(0)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z)."""
    return 1 / (1 + np.exp(-z))
