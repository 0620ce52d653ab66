"""Test deep feature reweighting: its regression equals a reference; its draws, its tuning and its error messages."""

import numpy as np
import pytest

from tests.references import reweighting as dfr_reference
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing import reweighting as dfr
from workflow_scripts.timecat.probing.groups import group_accuracies, group_codes
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting
from workflow_scripts.timecat.sampling import balanced_draw

SETTINGS = Reweighting(c=[1.0, 0.1, 0.03], resamples=4, seed=3, groups=["place"])


def biased(rows: int = 400, seed: int = 0):
    """Return features, labels and places. Place is a strong feature, label a weak one; both agree in 90 % of rows."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, rows)
    place = np.where(random.random(rows) < 0.9, labels, 1 - labels)
    noise = random.normal(size=(rows, 6))
    features = np.column_stack([4.0 * place, labels, *noise.T]) + 0.4 * random.normal(size=(rows, 8))
    return features.astype(np.float32), labels, place


@pytest.mark.parametrize("c", [1.0, 0.1, 0.03])
def test_the_regression_equals_the_reference(c):
    features, labels, _ = biased()
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    weight, bias = dfr.logistic_regression(features, labels, c)
    plain_weight, plain_bias = dfr_reference.logistic_regression(features, labels, c)
    assert weight == pytest.approx(plain_weight, abs=1e-4) and bias == pytest.approx(plain_bias, abs=1e-4)
    assert np.count_nonzero(weight) < 8 or c == 1.0, "an L1 penalty makes zeros"


def test_the_last_layer_equals_the_reference():
    features, labels, place = biased()
    groups = group_codes(labels, [place])
    fast, plain = (
        dfr.fit_last_layer(features, labels, groups, SETTINGS, solve)
        for solve in (dfr.logistic_regression, dfr_reference.logistic_regression)
    )
    assert fast.c == plain.c and fast.logits(features) == pytest.approx(plain.logits(features), abs=1e-3)


def test_reweighting_uses_the_core_feature():
    """Ordinary regression uses the spurious feature on this data."""
    features, labels, place = biased(2000)
    test, truth, where = biased(2000, seed=1)
    layer = dfr.fit_last_layer(features, labels, group_codes(labels, [place]), SETTINGS)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    weight, bias = dfr.logistic_regression(scaled, labels, 1.0)
    ordinary = (test - features.mean(axis=0)) / features.std(axis=0) @ weight + bias
    groups = group_codes(truth, [where])
    worst = [group_accuracies((logits > 0) == truth, groups).min() for logits in (layer.logits(test), ordinary)]
    assert worst[0] > worst[1] + 10


def test_draws_are_balanced_and_halves_split_every_group():
    groups = np.repeat([0, 1, 2], [50, 7, 20])
    random = np.random.default_rng(0)
    rows = balanced_draw(groups, random)
    assert np.bincount(groups[rows]).tolist() == [7, 7, 7] and np.all(np.diff(rows) > 0)
    assert set(groups[rows]) == {0, 1, 2} and not np.array_equal(rows, balanced_draw(groups, random))
    first, second = dfr.halves(groups, random)
    assert np.bincount(groups[first]).tolist() == [25, 4, 10] and np.bincount(groups[second]).tolist() == [25, 3, 10]
    assert sorted([*first, *second]) == list(range(77))


def test_c_is_chosen_by_the_worst_group_of_the_other_half():
    """The solver here returns a correct weight for only one c, and records the number of rows that it gets."""
    features, labels, place = biased()
    groups, seen = group_codes(labels, [place]), []

    def solve(rows, own, c):
        seen.append((c, len(rows)))
        return np.eye(8)[1] * (1.0 if c == 0.1 else -1.0), 0.0

    layer = dfr.fit_last_layer(features, labels, groups, SETTINGS, solve)
    fewest = np.bincount(groups).min()
    assert layer.c == 0.1 and seen[:3] == [(c, 4 * ((fewest + 1) // 2)) for c in (1.0, 0.1, 0.03)]
    assert seen[3:] == [(0.1, 4 * fewest)] * 4 and layer.weight.tolist() == np.eye(8)[1].tolist()


def test_tuning_uses_the_worst_group_and_not_the_mean():
    """One feature is right except in most rows of one group, a second in seven of ten rows of every group."""
    groups = np.repeat(np.arange(4), 100)
    labels, place_in_group = groups // 2, np.tile(np.arange(100), 4)
    wrong = np.column_stack([(groups == 3) & (place_in_group < 60), place_in_group % 10 < 3])
    features = np.where(wrong, -1.0, 1.0) * (2 * labels - 1)[:, None]

    def solve(rows, own, c):
        return np.array([1.0, 0.0] if c == 1.0 else [0.0, 1.0]), 0.0

    assert dfr.fit_last_layer(features, labels, groups, SETTINGS, solve).c == 0.1


def test_the_last_layer_is_the_mean_over_all_draws():
    features, labels, place = biased()
    answers = iter([*[(np.zeros(8), 0.0)] * 3, *((np.full(8, float(value)), value) for value in (1, 2, 3, 6))])
    layer = dfr.fit_last_layer(features, labels, group_codes(labels, [place]), SETTINGS, lambda *_: next(answers))
    assert layer.weight.tolist() == [3.0] * 8 and layer.bias == 3.0


def test_a_constant_feature_causes_no_division_by_zero():
    features, labels, place = biased()
    features[:, 5] = 2.0
    layer = dfr.fit_last_layer(features, labels, group_codes(labels, [place]), SETTINGS)
    assert np.isfinite(layer.logits(features)).all() and layer.weight[5] == 0


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2], "is for two classes, but the data set has 3"),
        ([0, 1, 0, 1, 1], [0, 1, 0, 1, 2], "a group has a single training row"),
    ],
)
def test_unsuitable_labels_and_groups_are_refused(labels, groups, message):
    with pytest.raises(UserError, match=message):
        dfr.check_rows(np.array(labels), np.array(groups))
