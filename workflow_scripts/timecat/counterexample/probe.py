"""What is left of the features in a trained network of the counterexample, and which distributions a probe then solves.

A network's features at the four points are four vectors. How many dimensions they span, and whatever a linear probe that
begins at zero makes of them, is a function of their inner products, a 4 x 4 matrix for each network: so that networks of any
width and kind are measured alike. Features are centred over the four points and scaled by one number for all of them, as
small or large as the network has left them; a scale for each would bring back what is nearly lost.
"""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.timecat.counterexample.exact import IS_POSITIVE, POINTS, QUARTERS
from workflow_scripts.timecat.counterexample.networks import Networks, sigmoid

INPUT_SIZE = 2**0.5  # the singular value of x1, and of x2, at the four points


@dataclass(frozen=True)
class Kept:
    """What R networks keep. dimensions: of their features' span, [R]. feature: the one that moves them most, 1 or 2, [R].
    products: inner products of the centred features, [4, 4, R]; zeros where a network diverged."""

    dimensions: np.ndarray
    feature: np.ndarray
    products: np.ndarray


def kept(networks: Networks, threshold: float) -> Kept:
    """Measure the features of networks; those that diverged keep none.

    threshold: a dimension counts if its singular value is at least this share of the greatest one. Where even that is below
    threshold times the input's, the network has lost everything, and the latter is taken for the greatest.
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
    """Inner products of the features of disjoint groups of seeds: [4, 4, mixtures x (seeds // members)].

    products: of single networks, [4, 4, mixtures x seeds]. Those of concatenated features are the members' sum.
    """
    groups = seeds // members
    of_seeds = products.reshape(4, 4, -1, seeds)[..., : groups * members]
    return of_seeds.reshape(4, 4, -1, groups, members).sum(-1).reshape(4, 4, -1)


def scaled(products: np.ndarray, threshold: float) -> np.ndarray:
    """Inner products of features whose greatest singular value is scaled to the input's, unless they are lost (see kept)."""
    return products * (INPUT_SIZE / _greatest(_singular_values(products), threshold)) ** 2


def _singular_values(products: np.ndarray) -> np.ndarray:
    """Of the features at the four points, [R, 4], ascending."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(products.transpose(2, 0, 1)), 0))


def _greatest(sizes: np.ndarray, threshold: float) -> np.ndarray:
    return np.maximum(sizes[:, -1], threshold * INPUT_SIZE)


def solved(products: np.ndarray, counts: np.ndarray, lr: float) -> np.ndarray:
    """Which of the four distributions a probe solves: bool [4, R]. It is a linear layer, trained by SGD on cross-entropy,
    that begins at zero, and it solves a distribution if it is right on each of its points in the end.

    products: scaled ones, [4, 4, mixtures x seeds]. counts: how often each point is in each step's batch, on each distribution,
    [steps, 4 points, 4 distributions x seeds]; see batch_counts(). tests.references.counterexample has it in plain modules.
    """
    steps, _, runs = counts.shape
    seeds = runs // len(QUARTERS)
    K = products.reshape(4, 4, 1, -1, seeds).astype(np.float32)  # [point, point, 1, mixtures, seeds]
    counts = counts.reshape(steps, 4, len(QUARTERS), 1, seeds)
    rate = np.float32(lr) / counts[0, :, 0, 0, 0].sum(dtype=np.float32)
    target = IS_POSITIVE.astype(np.float32)[:, None, None, None]
    # The probe's weights are a sum of the four points' features, times these: a step changes those of its batch.
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
