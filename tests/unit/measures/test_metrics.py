"""Metrics of predictions: scikit-learn says the same, also where a class is absent or the only one."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, matthews_corrcoef

from workflow_scripts.timecat.measures.metrics import INFLUENCES, METRICS, TITLES, accuracy, matthews_correlation


def drawn(classes: int, rows: int = 400, right: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, of which at least about a share ``right`` agrees."""
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, rows)
    return labels, np.where(random.random(rows) < right, labels, random.integers(0, classes, rows))


def by_scikit_learn(labels, predicted) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where both are constant
        return 100 * matthews_corrcoef(labels, predicted)


@pytest.mark.parametrize("classes", [2, 3, 5, 104])
def test_matthews_correlation_is_scikit_learns(classes):
    labels, predicted = drawn(classes)
    assert matthews_correlation(labels, predicted) == pytest.approx(by_scikit_learn(labels, predicted), rel=1e-12)
    assert matthews_correlation(labels, labels) == pytest.approx(100)


def test_matthews_correlation_does_not_depend_on_the_numbers_of_classes():
    labels, predicted = drawn(4)
    moved = matthews_correlation(7 * labels + 2, 7 * predicted + 2)
    assert moved == pytest.approx(matthews_correlation(labels, predicted), rel=1e-12)


def test_matthews_correlation_where_a_class_is_only_predicted_or_never():
    labels, predicted = np.array([0, 0, 1, 1, 1, 3]), np.array([0, 2, 1, 1, 0, 1])
    assert matthews_correlation(labels, predicted) == pytest.approx(by_scikit_learn(labels, predicted), rel=1e-12)


def test_matthews_correlation_is_negative_where_predictions_are_worse_than_chance():
    labels = np.array([0, 1, 0, 1])
    assert matthews_correlation(labels, 1 - labels) == -100


@pytest.mark.parametrize(
    ("labels", "predicted"),
    [([0, 1, 1], [0, 0, 0]), ([0, 0, 0], [0, 1, 1]), ([2, 2], [2, 2]), ([1, 1], [0, 0]), ([0], [0])],
)
def test_matthews_correlation_is_0_where_labels_or_predictions_are_constant(labels, predicted):
    assert by_scikit_learn(labels, predicted) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matthews_correlation(np.array(labels), np.array(predicted)) == 0


def test_accuracy_is_scikit_learns():
    labels, predicted = drawn(5)
    assert accuracy(labels, predicted) == pytest.approx(100 * accuracy_score(labels, predicted))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 5])
def test_influences_are_what_the_metric_loses_without_a_row(metric, classes):
    """With many rows, the jackknife's pseudo-values and their standard error."""
    labels, predicted = drawn(classes, rows=1000)
    influences = INFLUENCES[metric](labels, predicted)
    assert influences.sum() == pytest.approx(0, abs=1e-9)
    kept = [np.arange(1000) != row for row in range(1000)]
    whole, without = METRICS[metric](labels, predicted), [METRICS[metric](labels[k], predicted[k]) for k in kept]
    assert 100 * influences == pytest.approx(999 * (whole - np.array(without)), rel=0.01, abs=0.2)


@pytest.mark.parametrize("metric", METRICS)
def test_influences_give_the_spread_of_a_metric_over_rows(metric):
    """Known truth: many draws of rows from the same distribution."""
    random = np.random.default_rng(7)
    labels, predicted = drawn(3, rows=300, right=0.5)
    error = 100 * INFLUENCES[metric](labels, predicted).std() / np.sqrt(300)
    draws = [random.integers(0, 300, 300) for _ in range(2000)]
    assert error == pytest.approx(np.std([METRICS[metric](labels[d], predicted[d]) for d in draws]), rel=0.06)


def test_a_row_bears_nothing_on_a_correlation_that_is_0_because_predictions_are_constant():
    labels = np.array([0, 1, 1])
    assert INFLUENCES["mcc"](labels, np.zeros(3, int)).tolist() == [0, 0, 0]


def test_every_metric_has_a_title_and_influences():
    assert METRICS.keys() == TITLES.keys() == INFLUENCES.keys()
