"""How well the probabilities of predictions are calibrated, over all rows and over segments of them.

Of a row, p is the probability of the predicted class and y is 1 where that class is the label, else 0.

**Expected calibration error** (ECE): rows sorted by p in bins of equally many; the mean over rows of the difference, in
their bin, between mean p and mean y. **Multicalibration error** (Guy et al. 2025, "Measuring multi-calibration",
arXiv 2506.11251; all weights are one here): in a segment of n rows sorted by p, C_j = Σ_{i<=j} (y_i - p_i) / n, C_0 = 0,

    ECCE = max_j C_j - min_j C_j,   σ = sqrt(Σ p_i (1 - p_i)) / n,
    MCE_σ = max over segments of ECCE / σ,   MCE_abs = MCE_σ σ(all rows),   minimum detectable error = 5 σ(all rows).

**p-values**, of the hypothesis that probabilities are perfectly calibrated. In an ECCE / σ of many rows, the sums C_j are a
Brownian motion, so p(ECCE) is the probability that the range of a standard Brownian motion on [0, 1] is as large
(Arrieta-Ibarra et al. 2022, "Metrics of calibration for probabilistic predictions", JMLR 23; Feller 1951 has the
distribution); this is the p-value of the package MCGrad. MCGrad's p of an MCE_σ is that of the worst segment alone, not adjusted
for the number of segments: perfect calibration falls below 0.05 far more often than once in twenty. It is here as
``mce_p_unadjusted``. ``mce_p`` counts instead: of ``draws`` sets of labels drawn from the probabilities, (1 + how many have an
MCE_σ at least as large) / (1 + draws), which takes account of all segments and their overlaps.

Rows with equal p are in an order drawn by a hash of their row number, so that the order of a file does not count. Both
errors are above zero for perfect calibration too, by as much as rows and segments make them: ``draws`` sets of labels
drawn from the probabilities say by how much. tests.references.calibration is the plain twin; a test holds the two equal.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.measures.groups import Segments

DETECTABLE = 5  # σ, as Guy et al. have it: an ECCE below is not told from chance with certainty
# A range below is never seen (1 less its p is below 1e-20), and the series, which alternates, needs more terms there.
LEAST_RANGE = 0.3


@dataclass(frozen=True)
class Measured:
    """What is measured of one set of predictions: in percent, but for those in units of σ (``*_sigma``) and p-values.

    ``ece_calibrated`` and ``mce_sigma_calibrated``: what perfect calibration would show, the mean over drawings.
    worst_group_accuracy: NaN where no group has rows enough, and worst_group "" then.
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
    """Measure predictions. p: probabilities, float [N]; y: 0 or 1, [N]; rows: their row numbers, int [N]."""
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

    found, calibrated = in_sigma(y - p), np.zeros((draws, 2))  # of each draw, ECE and MCE_σ
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

    Its density is 8 Σ (-1)^(k-1) k² φ(k x), k = 1, 2, ... (Feller 1951); this is the integral, in which small p lose no digits.
    """
    if x < LEAST_RANGE:
        return 1.0
    terms = ((-1) ** (k - 1) * k * math.erfc(k * x / math.sqrt(2)) for k in range(1, 61))
    return min(4 * math.fsum(terms), 1.0)


def bin_starts(rows: int, bins: int) -> np.ndarray:
    """Where each bin begins, int [bins]: sizes differ by one at most, the larger ones first; no bin is empty."""
    bins = min(bins, rows)
    return np.arange(bins) * (rows // bins) + np.minimum(np.arange(bins), rows % bins)


def ranges(difference: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Of each segment, largest less smallest sum of its first j differences, j = 0, 1, ...: float64 [segments].

    difference: [M], segment after segment, sorted by probability in each; starts: where each begins.
    """
    sums = np.cumsum(difference)
    before = np.where(starts > 0, sums[starts - 1], 0.0)
    highest = np.maximum(np.maximum.reduceat(sums, starts) - before, 0)
    return highest - np.minimum(np.minimum.reduceat(sums, starts) - before, 0)


def in_units_of(sigma: np.ndarray, ecce: np.ndarray) -> np.ndarray:
    """ECCE / σ. Where σ is 0, as all probabilities are 0 or 1: infinite, or 0 where ECCE is 0 as well."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ecce > 0, ecce / sigma, 0.0)
