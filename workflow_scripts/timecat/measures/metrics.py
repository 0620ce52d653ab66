"""Compute metrics of predictions, in percent, and the influence of each row on them.

The influence of a row is the derivative of a metric with respect to the row's weight, times the number of rows (the
infinitesimal jackknife). Influences add up to zero, and their standard deviation divided by the square root of the
number of rows is the metric's standard error over rows. Like hits, influences are shares, not percent.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int64]


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Return the accuracy in percent: the share of rows in which two int arrays [rows] agree."""
    return 100.0 * float(np.mean(labels == predicted))


def accuracy_influences(labels: Labels, predicted: Labels) -> Floats:
    """Return the influence of each row on the accuracy, [rows]."""
    hits = (labels == predicted).astype(np.float64)
    return hits - hits.mean()


def matthews_correlation(labels: Labels, predicted: Labels) -> float:
    """Return Matthews' correlation of int arrays [rows] in percent, for any number of classes; 0 if one is constant.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient", equation 8.
    """
    true, said = _counts(labels, predicted)
    rows = len(labels)
    covariance = rows * float(np.sum(labels == predicted)) - float(true @ said)
    spread = float((rows**2 - true @ true) * (rows**2 - said @ said))
    return 100.0 * covariance / float(np.sqrt(spread)) if spread > 0 else 0.0


def matthews_influences(labels: Labels, predicted: Labels) -> Floats:
    """Return the influence of each row on Matthews' correlation, [rows]; zeros if either array is constant."""
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
    """Return the number of rows of each class, and the number of rows predicted as each class."""
    classes = int(max(labels.max(), predicted.max())) + 1
    true, said = (np.bincount(values, minlength=classes).astype(np.float64) for values in (labels, predicted))
    return true, said


METRICS = {"accuracy": accuracy, "mcc": matthews_correlation}
INFLUENCES: dict[str, Callable[[Labels, Labels], Floats]] = {
    "accuracy": accuracy_influences,
    "mcc": matthews_influences,
}
TITLES = {"accuracy": "top-1 accuracy (%)", "mcc": "Matthews correlation (%)"}
