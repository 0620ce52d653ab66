"""What tables of predictions report of them, in percent."""

import numpy as np


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of rows, of int arrays [rows], where both agree."""
    return 100.0 * float(np.mean(labels == predicted))


def matthews_correlation(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Matthews' correlation coefficient of int arrays [rows], for any number of classes; 0 where either is constant.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient", equation 8.
    """
    classes = int(max(labels.max(), predicted.max())) + 1
    true, said = (np.bincount(values, minlength=classes).astype(float) for values in (labels, predicted))
    rows = len(labels)
    covariance = rows * float(np.sum(labels == predicted)) - true @ said
    spread = (rows**2 - true @ true) * (rows**2 - said @ said)
    return 100.0 * covariance / float(np.sqrt(spread)) if spread > 0 else 0.0


METRICS = {"accuracy": accuracy, "mcc": matthews_correlation}
TITLES = {"accuracy": "top-1 accuracy (%)", "mcc": "Matthews correlation (%)"}
