"""Test metrics of predictions against scikit-learn, including absent and single classes, and rows' influences."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, matthews_corrcoef

from workflow_scripts.timecat.measures.metrics import INFLUENCES, METRICS, TITLES, accuracy, matthews_correlation


def drawn(classes: int, rows: int = 400, right: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions; a share of at least about ``right`` agrees."""
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, rows)
    return labels, np.where(random.random(rows) < right, labels, random.integers(0, classes, rows))


def by_scikit_learn(labels, predicted) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns if both are constant
        return 100 * matthews_corrcoef(labels, predicted)


@pytest.mark.parametrize("classes", [2, 3, 5, 104])
def test_matthews_correlation_equals_scikit_learns(classes):
    labels, predicted = drawn(classes)
    assert matthews_correlation(labels, predicted) == pytest.approx(by_scikit_learn(labels, predicted), rel=1e-12)
    assert matthews_correlation(labels, labels) == pytest.approx(100)


def test_matthews_correlation_does_not_depend_on_how_classes_are_numbered():
    labels, predicted = drawn(4)
    moved = matthews_correlation(7 * labels + 2, 7 * predicted + 2)
    assert moved == pytest.approx(matthews_correlation(labels, predicted), rel=1e-12)


def test_matthews_correlation_allows_classes_that_are_only_predicted_or_never():
    labels, predicted = np.array([0, 0, 1, 1, 1, 3]), np.array([0, 2, 1, 1, 0, 1])
    assert matthews_correlation(labels, predicted) == pytest.approx(by_scikit_learn(labels, predicted), rel=1e-12)


def test_matthews_correlation_is_negative_for_predictions_worse_than_chance():
    labels = np.array([0, 1, 0, 1])
    assert matthews_correlation(labels, 1 - labels) == -100


@pytest.mark.parametrize(
    ("labels", "predicted"),
    [([0, 1, 1], [0, 0, 0]), ([0, 0, 0], [0, 1, 1]), ([2, 2], [2, 2]), ([1, 1], [0, 0]), ([0], [0])],
)
def test_matthews_correlation_is_0_if_labels_or_predictions_are_constant(labels, predicted):
    assert by_scikit_learn(labels, predicted) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matthews_correlation(np.array(labels), np.array(predicted)) == 0


def test_accuracy_equals_scikit_learns():
    labels, predicted = drawn(5)
    assert accuracy(labels, predicted) == pytest.approx(100 * accuracy_score(labels, predicted))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 5])
def test_influences_are_the_change_of_the_metric_without_a_row(metric, classes):
    """Influences approach the pseudo-values of the jackknife if there are many rows."""
    labels, predicted = drawn(classes, rows=1000)
    influences = INFLUENCES[metric](labels, predicted)
    assert influences.sum() == pytest.approx(0, abs=1e-9)
    kept = [np.arange(1000) != row for row in range(1000)]
    whole, without = METRICS[metric](labels, predicted), [METRICS[metric](labels[k], predicted[k]) for k in kept]
    assert 100 * influences == pytest.approx(999 * (whole - np.array(without)), rel=0.01, abs=0.2)


@pytest.mark.parametrize("metric", METRICS)
def test_influences_give_the_spread_of_a_metric_over_rows(metric):
    """The spread is known from many draws of rows from the same distribution."""
    random = np.random.default_rng(7)
    labels, predicted = drawn(3, rows=300, right=0.5)
    error = 100 * INFLUENCES[metric](labels, predicted).std() / np.sqrt(300)
    draws = [random.integers(0, 300, 300) for _ in range(2000)]
    assert error == pytest.approx(np.std([METRICS[metric](labels[d], predicted[d]) for d in draws]), rel=0.06)


def test_rows_have_no_influence_on_the_correlation_of_constant_predictions():
    labels = np.array([0, 1, 1])
    assert INFLUENCES["mcc"](labels, np.zeros(3, int)).tolist() == [0, 0, 0]


def test_every_metric_has_a_title_and_influences():
    assert METRICS.keys() == TITLES.keys() == INFLUENCES.keys()
