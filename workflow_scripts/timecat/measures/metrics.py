"""What tables of predictions report of them, in percent, and how much each row bears on it.

The influence of a row is the derivative of a metric with respect to the row's weight, times the number of rows (the
infinitesimal jackknife). Influences add up to zero, and their standard deviation over the root of the number of rows is the
metric's standard error over rows. They are shares, not percent, as hits are.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int64]


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Share of rows, of int arrays [rows], where both agree."""
    return 100.0 * float(np.mean(labels == predicted))


def accuracy_influences(labels: Labels, predicted: Labels) -> Floats:
    """Influences of rows on the accuracy."""
    hits = (labels == predicted).astype(np.float64)
    return hits - hits.mean()


def matthews_correlation(labels: Labels, predicted: Labels) -> float:
    """Matthews' correlation coefficient of int arrays [rows], for any number of classes; 0 where either is constant.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient", equation 8.
    """
    true, said = _counts(labels, predicted)
    rows = len(labels)
    covariance = rows * float(np.sum(labels == predicted)) - float(true @ said)
    spread = float((rows**2 - true @ true) * (rows**2 - said @ said))
    return 100.0 * covariance / float(np.sqrt(spread)) if spread > 0 else 0.0


def matthews_influences(labels: Labels, predicted: Labels) -> Floats:
    """Influences of rows on Matthews' correlation; 0 where it is 0 because either is constant."""
    true, said = _counts(labels, predicted)
    rows = len(labels)
    hits = (labels == predicted).astype(np.float64)
    spread = (rows**2 - true @ true) * (rows**2 - said @ said)
    if spread <= 0:
        return np.zeros(rows)
    of_covariance = rows * hits + hits.sum() - said[labels] - true[predicted]
    of_true = 2 * (rows - true[labels]) / (rows**2 - true @ true)
    of_said = 2 * (rows - said[predicted]) / (rows**2 - said @ said)
    correlation = matthews_correlation(labels, predicted) / 100
    influences: Floats = rows * (of_covariance / np.sqrt(spread) - correlation / 2 * (of_true + of_said))
    return influences


def _counts(labels: Labels, predicted: Labels) -> tuple[Floats, Floats]:
    """Return how many rows are of each class, and how many are said to be."""
    classes = int(max(labels.max(), predicted.max())) + 1
    true, said = (np.bincount(values, minlength=classes).astype(np.float64) for values in (labels, predicted))
    return true, said


METRICS = {"accuracy": accuracy, "mcc": matthews_correlation}
INFLUENCES: dict[str, Callable[[Labels, Labels], Floats]] = {
    "accuracy": accuracy_influences,
    "mcc": matthews_influences,
}
TITLES = {"accuracy": "top-1 accuracy (%)", "mcc": "Matthews correlation (%)"}
