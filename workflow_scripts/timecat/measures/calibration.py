"""Measure how well the probabilities of predictions are calibrated, over all rows and over segments of rows.

For a row, p is the probability of the predicted class, and y is 1 if that class is the label, else 0.

**Expected calibration error** (ECE): rows are sorted by p into bins of equal size; ECE is the mean over rows of the
absolute difference between mean p and mean y in the row's bin. **Multicalibration error** (Guy et al. 2025, "Measuring
multi-calibration", arXiv 2506.11251; all weights are 1 here): in a segment of n rows sorted by p, with
C_j = Σ_{i<=j} (y_i - p_i) / n and C_0 = 0,

    ECCE = max_j C_j - min_j C_j,   σ = sqrt(Σ p_i (1 - p_i)) / n,
    MCE_σ = max over segments of ECCE / σ,   MCE_abs = MCE_σ σ(all rows),   minimum detectable error = 5 σ(all rows).

**p-values** test the hypothesis that probabilities are perfectly calibrated. With many rows, the sums C_j in ECCE / σ
are a Brownian motion, so p(ECCE) is the probability that the range of a standard Brownian motion on [0, 1] is at least
as large (Arrieta-Ibarra et al. 2022, "Metrics of calibration for probabilistic predictions", JMLR 23; Feller 1951
derives the distribution). This is the p-value of the package MCGrad. MCGrad's p of an MCE_σ is the p of the worst
segment, not adjusted for the number of segments: under perfect calibration it falls below 0.05 far more often than once
in twenty. It is reported as ``mce_p_unadjusted``. ``mce_p`` is a Monte Carlo p-value instead: (1 + number of draws
whose MCE_σ is at least as large) / (1 + draws), where each of the ``draws`` is a set of labels drawn from the
probabilities. It takes account of all segments and their overlaps.

Rows with equal p are ordered by a hash of their row number, so the order of a file has no influence. Both errors are
above zero even for perfect calibration, by an amount that depends on the numbers of rows and segments; the same draws
of labels measure this amount. tests.references.calibration is a plain implementation; a test checks that both give the
same results.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.measures.groups import Segments

DETECTABLE = 5  # in σ, as in Guy et al.: a smaller ECCE cannot be distinguished from chance with certainty
# A smaller range practically never occurs (probability below 1e-20), and the alternating series would need more terms.
LEAST_RANGE = 0.3


@dataclass(frozen=True)
class Measured:
    """Calibration of one set of predictions, in percent, except for values in units of σ (``*_sigma``) and p-values.

    ``ece_calibrated`` and ``mce_sigma_calibrated``: the expected value under perfect calibration, as the mean over
    draws. worst_group_accuracy, worst_group: NaN and "" if no group has enough rows.
    """

    accuracy: float
    confidence: float
    ece: float
    ece_calibrated: float
    worst_group_accuracy: float
    ecce_sigma: float
    ecce_p: float
    mce_sigma: float
    mce_p: float
    mce_p_unadjusted: float
    mce_sigma_calibrated: float
    mce_abs: float
    minimum_detectable: float
    worst_group: str
    worst_segment: str


def measure(
    p: npt.ArrayLike, y: npt.ArrayLike, rows: npt.ArrayLike, segments: Segments, bins: int, draws: int
) -> Measured:
    """Measure the calibration of predictions.

    p: probabilities, float [N]. y: 1 if the prediction is right, else 0, [N]. rows: row numbers, int [N].
    """
    p, y, rows = np.asarray(p, np.float64), np.asarray(y, np.float64), np.asarray(rows)
    ties = randomness.bits(randomness.key("calibration", "ties"), rows)
    in_bins = np.lexsort((ties, p))
    in_segments = segments.member[np.lexsort((ties[segments.member], p[segments.member], segments.segment))]
    starts, first_in_bin = segments.starts, bin_starts(len(p), bins)
    sigma = np.sqrt(np.add.reduceat((p * (1 - p))[in_segments], starts)) / segments.sizes

    def ece(difference: np.ndarray) -> float:
        return float(np.abs(np.add.reduceat(difference[in_bins], first_in_bin)).sum() / len(p))

    def in_sigma(difference: np.ndarray) -> npt.NDArray[np.float64]:
        return in_units_of(sigma, ranges(difference[in_segments], starts) / segments.sizes)

    found, calibrated = in_sigma(y - p), np.zeros((draws, 2))  # ECE and MCE_σ of each draw
    for draw in range(draws):
        drawn = randomness.uniform(randomness.key("calibration", "draw", draw), rows) < p
        calibrated[draw] = ece(drawn - p), in_sigma(drawn - p).max()
    accuracies = np.add.reduceat(y[segments.member], starts) / segments.sizes
    accuracies[segments.depth != 1] = np.nan
    worst, least = int(found.argmax()), int(np.argmin(np.where(np.isnan(accuracies), np.inf, accuracies)))
    return Measured(
        accuracy=100 * float(y.mean()),
        confidence=100 * float(p.mean()),
        ece=100 * ece(y - p),
        ece_calibrated=100 * float(calibrated[:, 0].mean()),
        worst_group_accuracy=100 * float(accuracies[least]),
        ecce_sigma=float(found[0]),
        ecce_p=p_of_range(float(found[0])),
        mce_sigma=float(found[worst]),
        mce_p=float(1 + (calibrated[:, 1] >= found[worst]).sum()) / (1 + draws),
        mce_p_unadjusted=p_of_range(float(found[worst])),
        mce_sigma_calibrated=float(calibrated[:, 1].mean()),
        mce_abs=100 * float(found[worst] * sigma[0]),
        minimum_detectable=100 * DETECTABLE * float(sigma[0]),
        worst_group="" if np.isnan(accuracies[least]) else segments.names[least],
        worst_segment=segments.names[worst],
    )


def p_of_range(x: float) -> float:
    """Return the probability that the range of a standard Brownian motion on [0, 1] is at least x.

    The density is 8 Σ (-1)^(k-1) k² φ(k x), k = 1, 2, ... (Feller 1951). It is integrated term by term, so that a small
    p keeps its precision.
    """
    if x < LEAST_RANGE:
        return 1.0
    terms = ((-1) ** (k - 1) * k * math.erfc(k * x / math.sqrt(2)) for k in range(1, 61))
    return min(4 * math.fsum(terms), 1.0)


def bin_starts(rows: int, bins: int) -> np.ndarray:
    """Return the first row of each bin, int [bins]. Sizes differ by one at most, larger bins first; no bin is empty."""
    bins = min(bins, rows)
    return np.arange(bins) * (rows // bins) + np.minimum(np.arange(bins), rows % bins)


def ranges(difference: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the range (largest minus smallest) of each segment's cumulative sums of differences, float64 [segments].

    The empty sum, 0, is included. difference: [M], segment after segment, sorted by probability within each segment.
    starts: position at which each segment begins.
    """
    sums = np.cumsum(difference)
    before = np.where(starts > 0, sums[starts - 1], 0.0)
    highest = np.maximum(np.maximum.reduceat(sums, starts) - before, 0)
    return highest - np.minimum(np.minimum.reduceat(sums, starts) - before, 0)


def in_units_of(sigma: np.ndarray, ecce: np.ndarray) -> np.ndarray:
    """Return ECCE / σ. If σ is 0 (all probabilities are 0 or 1), return infinity, or 0 if ECCE is 0, too."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ecce > 0, ecce / sigma, 0.0)
