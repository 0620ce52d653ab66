"""Find which features the best classifier of a mixture uses, by enumeration: the counterexample of section 3.

The paper is Yang, Zhang, Bottou 2025; the example is reconstructed from its text. There are two features, x1 and x2,
and four points: positives at (1, 0) and (-1, 0), negatives at (0, 1) and (0, -1). Each of four distributions has mass
1/2 on one point and 1/4 on each point of the other class. One feature suffices for each distribution: x1 for the first
two, which have one positive point, x2 for the others, which have one negative point. A classifier is linear in the
features that it uses, with a bias. No such classifier is right on all four points: the best one is wrong on the point
of least mass. Masses are integers here, so that ties are exact. The paper's argument excludes mixtures for which both
features are equally good; so do the networks and tables, which use `untied`.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

POINTS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
IS_POSITIVE = np.array([True, True, False, False])
# One distribution per row: its masses on the four points, in quarters.
QUARTERS = np.array([[2, 0, 1, 1], [0, 2, 1, 1], [1, 1, 2, 0], [1, 1, 0, 2]])
FEATURE_SETS = ((), (1,), (2,), (1, 2))  # by size
TIE = 0  # value of ``feature`` if classifiers on x1 and on x2 are equally good
# These weights and thresholds yield every answer that a linear classifier can give on the four points.
_WEIGHTS, _THRESHOLDS = (-1, 0, 1), (-1.5, -0.5, 0.5, 1.5)


@dataclass(frozen=True)
class Optimum:
    """Best classifiers of M mixtures, [M] each.

    error: 0-1 loss, in units of 1 / (4 x grid). size: the least number of features that a best classifier needs.
    feature: the feature that suffices, or TIE if either suffices or none is needed.
    """

    error: np.ndarray
    size: np.ndarray
    feature: np.ndarray


def simplex(grid: int) -> np.ndarray:
    """Return all mixtures of the four distributions in steps of 1 / grid: int64 [M, 4], sorted; rows sum to grid."""
    return np.array([row for row in itertools.product(range(grid + 1), repeat=4) if sum(row) == grid])


def untied(grid: int) -> np.ndarray:
    """Return the mixtures of simplex(grid) for which one feature is better than the other: int64 [M, 4], sorted."""
    mixtures = simplex(grid)
    return mixtures[optimum(mixtures).feature != TIE]


def masses(mixtures: npt.ArrayLike) -> np.ndarray:
    """Return the mass of each point under each mixture, in units of 1 / (4 x grid): int64 [M, 4]."""
    return np.asarray(mixtures) @ QUARTERS


def answers(features: tuple[int, ...]) -> np.ndarray:
    """Return all answers on the four points of classifiers that are linear in these features: bool [classifiers, 4].

    features: a subset of (1, 2). True means that a point is classified as positive.
    """
    weights = itertools.product(*(_WEIGHTS if feature in features else (0,) for feature in (1, 2)))
    said = {tuple((POINTS @ w > threshold).tolist()) for w in weights for threshold in _THRESHOLDS}
    return np.array(sorted(said))


def least_error(mass: npt.ArrayLike, features: tuple[int, ...]) -> np.ndarray:
    """Return the least 0-1 error [M] of classifiers on these features, by enumeration.

    mass: mass of each point under each mixture, [M, 4], in any unit.
    """
    wrong = answers(features) != IS_POSITIVE
    return (np.asarray(mass) @ wrong.T).min(1)


def optimum(mixtures: npt.ArrayLike) -> Optimum:
    """Return the best classifier of each mixture; among equally good ones, the one with the fewest features."""
    mass = masses(mixtures)
    errors = np.stack([least_error(mass, features) for features in FEATURE_SETS], 1)  # [M, sets]
    best = errors.min(1)
    is_best = errors == best[:, None]
    sizes = np.array([len(features) for features in FEATURE_SETS])
    size = np.where(is_best, sizes, sizes.max()).min(1)
    alone = is_best[:, FEATURE_SETS.index((1,))], is_best[:, FEATURE_SETS.index((2,))]
    feature = np.select([alone[0] & ~alone[1], alone[1] & ~alone[0]], [1, 2], TIE)
    return Optimum(best, size, feature)


def solved(features: tuple[int, ...]) -> np.ndarray:
    """Return whether a probe on these features solves each of the four distributions without an error: bool [4]."""
    return least_error(QUARTERS, features) == 0
