"""Measure which features remain in a trained network of the counterexample, and which distributions a probe solves.

A network's features at the four points are four vectors. The number of dimensions that they span, and the result of a
linear probe that starts at zero, depend only on their inner products, a 4 x 4 matrix for each network. So networks of
any width and kind are measured in the same way. Features are centred over the four points, and a single factor scales
all of them: a separate factor for each feature would restore a feature that is nearly lost.
"""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.timecat.counterexample.exact import IS_POSITIVE, POINTS, QUARTERS
from workflow_scripts.timecat.counterexample.networks import Networks, sigmoid

INPUT_SIZE = 2**0.5  # singular value of x1, and of x2, at the four points


@dataclass(frozen=True)
class Kept:
    """Features that remain in R networks.

    dimensions: number of dimensions that they span, [R]. feature: the input, 1 or 2, that changes them most, [R].
    products: inner products of the centred features, [4, 4, R]; zeros if a network diverged.
    """

    dimensions: np.ndarray
    feature: np.ndarray
    products: np.ndarray


def kept(networks: Networks, threshold: float) -> Kept:
    """Measure the features that remain in networks; a network that diverged keeps none.

    threshold: a dimension counts if its singular value is at least this share of the greatest one. If even the greatest
    is below threshold times the greatest of the input, the network has lost all features, and this limit replaces the
    greatest.
    """
    h = networks.hidden().astype(np.float64)
    h = h - h.mean(1, keepdims=True)
    products = np.nan_to_num(np.einsum("hpr,hqr->pqr", h, h), nan=0, posinf=0, neginf=0)
    sizes = _singular_values(products)
    dimensions = (sizes >= threshold * _greatest(sizes, threshold)[:, None]).sum(1)
    moved = ((networks.hidden() - networks.hidden([(0, 0)])).astype(np.float64) ** 2).sum(0)  # [4, R]
    feature = np.where(moved[0] + moved[1] > moved[2] + moved[3], 1, 2)
    return Kept(dimensions, feature, products)


def concatenated(products: np.ndarray, seeds: int, members: int) -> np.ndarray:
    """Return the inner products of the concatenated features of groups of seeds: [4, 4, mixtures x (seeds // members)].

    products: inner products of single networks, [4, 4, mixtures x seeds]; the inner products of
    concatenated features are the sum over the members. Groups are disjoint.
    """
    groups = seeds // members
    of_seeds = products.reshape(4, 4, -1, seeds)[..., : groups * members]
    return of_seeds.reshape(4, 4, -1, groups, members).sum(-1).reshape(4, 4, -1)


def scaled(products: np.ndarray, threshold: float) -> np.ndarray:
    """Return the inner products of features scaled to the input's greatest singular value, unless lost (see kept)."""
    return products * (INPUT_SIZE / _greatest(_singular_values(products), threshold)) ** 2


def _singular_values(products: np.ndarray) -> np.ndarray:
    """Return the singular values of the features at the four points, [R, 4], ascending."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(products.transpose(2, 0, 1)), 0))


def _greatest(sizes: np.ndarray, threshold: float) -> np.ndarray:
    return np.maximum(sizes[:, -1], threshold * INPUT_SIZE)


def solved(products: np.ndarray, counts: np.ndarray, lr: float) -> np.ndarray:
    """Return whether a probe solves each of the four distributions: bool [4, R].

    The probe is a linear layer, trained by SGD on cross-entropy from zero weights. It solves a distribution if, at the
    end, it is right on each point of the distribution.

    products: scaled inner products, [4, 4, mixtures x seeds]. counts: how often each point is in each step's batch, on
    each distribution, [steps, 4 points, 4 distributions x seeds]; see batch_counts(). tests.references.counterexample
    implements the same with plain modules.
    """
    steps, _, runs = counts.shape
    seeds = runs // len(QUARTERS)
    K = products.reshape(4, 4, 1, -1, seeds).astype(np.float32)  # [point, point, 1, mixtures, seeds]
    counts = counts.reshape(steps, 4, len(QUARTERS), 1, seeds)
    rate = np.float32(lr) / counts[0, :, 0, 0, 0].sum(dtype=np.float32)
    target = IS_POSITIVE.astype(np.float32)[:, None, None, None]
    # The probe's weights are the sum of the points' features times alpha; a step changes alpha of points in its batch.
    alpha = np.zeros((4, len(QUARTERS), *K.shape[3:]), np.float32)
    b = np.zeros(alpha.shape[1:], np.float32)
    for count in counts:
        delta = (sigmoid(_logits(K, alpha, b)) - target) * (count * rate)
        alpha -= delta
        b -= delta.sum(0)
    is_right = (_logits(K, alpha, b) > 0) == (target > 0)
    counted = (QUARTERS.T > 0)[:, :, None, None]  # [point, distribution, 1, 1]
    return (is_right | ~counted).all(0).reshape(len(QUARTERS), -1)


def _logits(K: np.ndarray, alpha: np.ndarray, b: np.ndarray) -> np.ndarray:
    return sum(K[:, point] * alpha[point] for point in range(len(POINTS))) + b
