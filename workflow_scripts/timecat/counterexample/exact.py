"""The counterexample of section 3 (Yang, Zhang, Bottou 2025): which features the best classifier of a mixture uses, exactly.

Two features x1, x2 and four points: positives at (1, 0) and (-1, 0), negatives at (0, 1) and (0, -1). Each of four
distributions puts 1/2 on one point and 1/4 on both points of the other class. One feature is enough for each: x1 for the
first two, which keep one positive, x2 for the others, which keep one negative. A classifier is linear in the features that
it uses, with a bias, and no such classifier is right on all four points: the best one gives up the point of least mass.
(Reconstructed from the paper's text.) Masses are whole numbers here, so that a tie is a tie. The paper's argument leaves out mixtures
for which both features are equally good; so do the networks and tables, which take `untied`.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

POINTS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
IS_POSITIVE = np.array([True, True, False, False])
# A distribution by row: its masses of the four points, in quarters.
QUARTERS = np.array([[2, 0, 1, 1], [0, 2, 1, 1], [1, 1, 2, 0], [1, 1, 0, 2]])
FEATURE_SETS = ((), (1,), (2,), (1, 2))  # by size
TIE = 0  # what stands for the feature where classifiers on x1 and on x2 are equally good
# Of each feature set, which of its classifiers' answers differ on four such points: these weights and thresholds give all.
_WEIGHTS, _THRESHOLDS = (-1, 0, 1), (-1.5, -0.5, 0.5, 1.5)


@dataclass(frozen=True)
class Optimum:
    """The best classifiers of some mixtures, [M] each. error: of 0-1 loss, in 4 x grid-ths. size: the number of features
    that it takes. feature: the one that is enough, or TIE if either is or none is needed."""

    error: np.ndarray
    size: np.ndarray
    feature: np.ndarray


def simplex(grid: int) -> np.ndarray:
    """All mixtures of the four distributions in steps of 1 / grid: int64 [M, 4], rows that sum to grid, in order."""
    return np.array([row for row in itertools.product(range(grid + 1), repeat=4) if sum(row) == grid])


def untied(grid: int) -> np.ndarray:
    """The mixtures of simplex(grid) whose best classifiers use one and the same feature, in order: int64 [M, 4]."""
    mixtures = simplex(grid)
    return mixtures[optimum(mixtures).feature != TIE]


def masses(mixtures: npt.ArrayLike) -> np.ndarray:
    """Mass of each point under each mixture, in (4 x grid)-ths: int64 [M, 4]."""
    return np.asarray(mixtures) @ QUARTERS


def answers(features: tuple[int, ...]) -> np.ndarray:
    """What classifiers that are linear in these features (of 1, 2) can say of the four points: bool [classifiers, 4]."""
    weights = itertools.product(*(_WEIGHTS if feature in features else (0,) for feature in (1, 2)))
    said = {tuple((POINTS @ w > threshold).tolist()) for w in weights for threshold in _THRESHOLDS}
    return np.array(sorted(said))


def least_error(mass: npt.ArrayLike, features: tuple[int, ...]) -> np.ndarray:
    """The least 0-1 error [M] of a classifier on these features, by enumeration; mass: [M, 4], in whatever unit."""
    wrong = answers(features) != IS_POSITIVE
    return (np.asarray(mass) @ wrong.T).min(1)


def optimum(mixtures: npt.ArrayLike) -> Optimum:
    """The best classifier of each mixture, and of those the one that takes the fewest features."""
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
    """Which of the four distributions a probe on these features solves, without an error: bool [4]."""
    return least_error(QUARTERS, features) == 0
