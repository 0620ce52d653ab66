"""Compute contrasts: an arm's mean accuracy minus its baseline's, with an interval over seeds and an error over rows.

Replicates are paired if they share seeds. The difference of an arm's replicate is its accuracy minus the mean accuracy
of the baseline's replicates that consist of its seeds only; the contrast is the mean of these differences. If the
baseline has more members than the arm, the roles are exchanged: each replicate of the baseline is compared with the
arm's replicates that consist of its seeds only. An arm that shares no seeds with its baseline in this way is compared
without pairs, as two independent samples.

Differences whose replicates share a seed are not independent. The interval comes from deleting one seed at a time, with
all replicates that have it (delete-one-seed jackknife):

    jackknife = (n - 1) / n  x  sum over seeds s of (mean without s - mean of these means)^2

In the model ``difference = contrast + mean of its seeds' effects + noise of the replicate``, the expected value of the
jackknife follows from the list of replicates (``A`` holds each seed's share in each replicate). Two corrections make
the jackknife valid for any list of replicates:

1. It is divided by its expected value under seeds' effects of variance 1, and multiplied by the variance of the mean
   under these effects. With all subsets of the seeds, and with one member each, the factor is 1. With disjoint
   replicates the result is the classical variance of a mean of independent values, s^2 / replicates. Without this
   correction, cyclic replicates would get up to three times their variance.
2. It treats the replicates' noise as if seeds caused it, which exaggerates that part: m (n - 1) / (n - m) times with
   all subsets of m seeds. If the differences' sum of squares separates the two, the excess is subtracted, up to half of
   the variance. With n = m + 1 seeds they cannot be separated, and the interval is conservative.

Degrees of freedom are Satterthwaite's for seeds' effects: replicates - 1 for disjoint replicates, n - 1 with all
subsets, fewer with cyclic ones. `benchmarks/coverage.py` simulates how often such intervals contain the truth.

Every function takes and returns percent. The module needs only NumPy and SciPy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

Floats: TypeAlias = npt.NDArray[np.float64]
Seeds: TypeAlias = tuple[int, ...]

LEVEL = 0.95  # confidence level of intervals
LEAST_SHARE = 0.5  # least share of the variance that remains when the noise of replicates is subtracted
# Methods of an interval: t over independent differences, jackknife over seeds, Welch's t for two samples, and Welch's t
# for two contrasts.
T, JACKKNIFE, UNPAIRED, DIFFERENCE = "t", "jackknife", "unpaired", "difference"


class Replicate(NamedTuple):
    """Seeds of a replicate, one for each member, and its accuracy in percent."""

    seeds: Seeds
    accuracy: float


@dataclass(frozen=True)
class Contrast:
    """Difference of two means, in percentage points, with its standard error over seeds.

    error: standard error; degrees: degrees of freedom of t. Both are None if there is no interval, and ``reason`` says
    why. seeds, replicates: numbers of seeds and replicates used, the smaller numbers of two samples. method: method of
    the interval (see T).
    """

    mean: float
    error: float | None
    degrees: float | None
    seeds: int
    replicates: int
    method: str
    reason: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Confidence interval (lower end, upper end) at LEVEL, or None if there is no error."""
        if self.error is None or self.degrees is None:
            return None
        reach = float(stdtrit(self.degrees, 0.5 + LEVEL / 2)) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def p(self) -> float | None:
        """Two-sided p-value of no difference, by the same t distribution as the interval; None without an interval."""
        if self.error is None or self.degrees is None:
            return None
        return 2 * float(stdtr(self.degrees, -abs(self.mean) / self.error))


@dataclass(frozen=True)
class Pairs:
    """Pairing of an arm's replicates with its baseline's.

    seeds: seeds of each difference; [] if there are no pairs. arm, baseline: weight of each replicate in each
    difference [differences, replicates]; without pairs, one row that averages all.
    """

    seeds: list[Seeds]
    arm: Floats
    baseline: Floats

    @property
    def weights(self) -> tuple[Floats, Floats]:
        """Weight of each replicate of the arm, and of the baseline, in the contrast; each array sums to 1."""
        return self.arm.mean(0), self.baseline.mean(0)


@dataclass(frozen=True)
class SeedError:
    """Variance over seeds of a mean over replicates, and degrees of freedom; None if they cannot be estimated."""

    variance: float | None
    degrees: float | None
    reason: str = ""


def contrast(arm: Sequence[Replicate], baseline: Sequence[Replicate]) -> Contrast:
    """Return the contrast of an arm with its baseline."""
    found = pairs([each.seeds for each in arm], [each.seeds for each in baseline])
    values, others = _accuracies(arm), _accuracies(baseline)
    if not found.seeds:
        return _unpaired(arm, baseline)
    differences = found.arm @ values - found.baseline @ others
    error = seed_error(differences, found.seeds)
    mean, seeds = float(differences.mean()), set().union(*found.seeds)
    method = T if _disjoint(found.seeds) else JACKKNIFE
    return _contrast(mean, error, len(seeds), len(differences), method)


def pairs(arm: Sequence[Seeds], baseline: Sequence[Seeds]) -> Pairs:
    """Return the pairs of an arm's and a baseline's replicates by the seeds of each.

    Replicates without a counterpart are left out. If the remaining replicates are too few for an interval, all
    replicates are used, as two samples.
    """
    if (found := _within(arm, baseline)) is not None:
        return found
    if (turned := _within(baseline, arm)) is not None:
        return Pairs(turned.seeds, arm=turned.baseline, baseline=turned.arm)
    return Pairs([], np.full((1, len(arm)), 1 / len(arm)), np.full((1, len(baseline)), 1 / len(baseline)))


def seed_error(values: Floats, replicates: Sequence[Seeds]) -> SeedError:
    """Return the variance over seeds of the mean of ``values``, one per replicate (see the module)."""
    if reason := _missing(replicates):
        return SeedError(None, None, reason)
    shares = _shares(replicates)  # A
    form = _jackknife_form(shares)  # jackknife = values' form values
    by_seeds = shares.T @ form @ shares
    of_mean = float((shares.mean(0) ** 2).sum())  # variance of the mean under seeds' effects of variance 1
    jackknife = float(values @ form @ values)
    variance = jackknife * of_mean / np.trace(by_seeds)
    if variance <= 1e-18 * max(1.0, float((values**2).max())):
        return SeedError(None, None, "all replicates are equal")
    degrees = np.trace(by_seeds) ** 2 / (by_seeds**2).sum()
    excess = variance - _without_noise(values, jackknife, (shares, form))
    return SeedError(float(max(variance - max(excess, 0.0), LEAST_SHARE * variance)), float(degrees))


def row_error(arm: npt.ArrayLike, baseline: npt.ArrayLike, found: Pairs) -> float | None:
    """Return the standard error of a contrast over evaluation rows, in percentage points; None for a single row.

    arm, baseline: whether each replicate is right on each row, bool [replicates, rows], the same rows in both.
    """
    own, others = found.weights
    differences = own @ np.asarray(arm, np.float64) - others @ np.asarray(baseline, np.float64)
    if differences.size < 2:
        return None
    return 100 * float(differences.std(ddof=1)) / math.sqrt(differences.size)


def difference(first: Contrast, second: Contrast) -> Contrast:
    """Return the difference of two independent contrasts, with Welch and Satterthwaite's degrees of freedom."""
    mean = first.mean - second.mean
    return _welch(mean, (first, second), DIFFERENCE)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for multiple testing by Holm's method, in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(order), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


# --- one sample ---


def _missing(replicates: Sequence[Seeds]) -> str:
    """Return why no error over seeds can be estimated, or "" if it can."""
    if len(replicates) < 2:
        return "one replicate"
    common = set(replicates[0]).intersection(*replicates[1:])
    return f"every replicate has seed {min(common)}" if common else ""


def _disjoint(replicates: Sequence[Seeds]) -> bool:
    """Return whether no two replicates share a seed."""
    return sum(len(set(each)) for each in replicates) == len(set().union(*replicates))


def _shares(replicates: Sequence[Seeds]) -> Floats:
    """Return the share of each seed in the members of each replicate, [replicates, seeds]."""
    seeds = sorted(set().union(*replicates))
    return np.array([[each.count(seed) / len(each) for seed in seeds] for each in map(tuple, replicates)])


def _jackknife_form(shares: Floats) -> Floats:
    """Return the delete-one-seed jackknife as a quadratic form of the values: a matrix [replicates, replicates]."""
    without = (shares == 0).astype(np.float64)  # replicates that remain when a seed is deleted, one column per seed
    means = (without / without.sum(0)).T
    centred = means - means.mean(0)
    n = shares.shape[1]
    return (n - 1) / n * centred.T @ centred


def _without_noise(values: Floats, jackknife: float, design: tuple[Floats, Floats]) -> float:
    """Return the variance of the mean with replicates' noise separated from seeds' effects; inf if this is impossible.

    Two sums of squares, the jackknife and the sum of squared deviations, are equated with their expected values, which
    are linear in the variances of seeds' effects and of noise.
    """
    shares, form = design
    squares = float(((values - values.mean()) ** 2).sum())
    deviations = shares - shares.mean(0)
    expected = np.array(
        [
            [np.trace(shares.T @ form @ shares), np.trace(form)],
            [(deviations**2).sum(), len(values) - 1],
        ]
    )
    scaled = expected / expected[:, 1:]
    if abs(np.linalg.det(scaled)) < 1e-9 * scaled[:, 0].max():
        return math.inf
    of_seeds, of_noise = np.linalg.solve(expected, [jackknife, squares])
    if of_noise <= 0:
        return math.inf
    if of_seeds <= 0:
        of_seeds, of_noise = 0.0, squares / (len(values) - 1)
    return float(of_seeds * (shares.mean(0) ** 2).sum() + of_noise / len(values))


# --- two samples ---


def _unpaired(arm: Sequence[Replicate], baseline: Sequence[Replicate]) -> Contrast:
    """Return the contrast of two independent samples: the variance of each mean is over its seeds."""
    sides = []
    for side in (arm, baseline):
        replicates, values = [each.seeds for each in side], _accuracies(side)
        error = seed_error(values, replicates)
        sides.append(_contrast(float(values.mean()), error, len(set().union(*replicates)), len(side), UNPAIRED))
    return _welch(sides[0].mean - sides[1].mean, (sides[0], sides[1]), UNPAIRED)


def _welch(mean: float, sides: tuple[Contrast, Contrast], method: str) -> Contrast:
    seeds, replicates = (min(getattr(side, name) for side in sides) for name in ("seeds", "replicates"))
    variances = [side.error**2 for side in sides if side.error is not None]
    degrees = [side.degrees for side in sides if side.degrees is not None]
    if len(variances) < len(sides):
        reason = next(side.reason for side in sides if side.error is None)
        return Contrast(mean, None, None, seeds, replicates, "", reason)
    total = sum(variances)
    freedom = total**2 / sum(variance**2 / own for variance, own in zip(variances, degrees))
    return Contrast(mean, math.sqrt(total), freedom, seeds, replicates, method)


def _contrast(mean: float, error: SeedError, seeds: int, replicates: int, method: str) -> Contrast:
    if error.variance is None:
        return Contrast(mean, None, None, seeds, replicates, "", error.reason)
    return Contrast(mean, math.sqrt(error.variance), error.degrees, seeds, replicates, method)


def _within(arm: Sequence[Seeds], baseline: Sequence[Seeds]) -> Pairs | None:
    """Pair each replicate of an arm with the baseline's replicates that consist of its seeds only.

    Return None if there are no pairs, or too few for an interval although the arm has more replicates.
    """
    counted = np.array([[set(other) <= set(own) for other in baseline] for own in arm])
    kept = np.flatnonzero(counted.any(1)).tolist()
    seeds = [arm[i] for i in kept]
    if not kept or (len(kept) < len(arm) and _missing(seeds)):
        return None
    weights = counted[kept] / counted[kept].sum(1, keepdims=True)
    return Pairs(seeds, np.eye(len(arm))[kept], weights)


def _accuracies(replicates: Sequence[Replicate]) -> Floats:
    return np.array([each.accuracy for each in replicates], np.float64)
