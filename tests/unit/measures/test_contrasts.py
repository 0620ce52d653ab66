"""Test contrasts against SciPy (independent replicates), a plain loop over deleted seeds, and simulated studies."""

import math
import random
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import DESIGNS, Truth, coverage, other_cases, sides, studies
from tests.references.contrasts import jackknife_reference, paired_reference, seed_error_reference
from workflow_scripts.timecat.measures.contrasts import (
    DIFFERENCE,
    JACKKNIFE,
    UNPAIRED,
    Replicate,
    T,
    contrast,
    difference,
    holm,
    pairs,
    row_error,
    seed_error,
)


def made(replicates, seed=0, mean=60.0):
    """Return a replicate for each tuple of seeds, with an accuracy drawn around a mean."""
    draws = np.random.default_rng(seed)
    return [Replicate(tuple(each), float(mean + 3 * draws.normal())) for each in replicates]


def singles(n, seed=1):
    return made([(each,) for each in range(n)], seed, 55.0)


def values_of(replicates):
    return [each.accuracy for each in replicates]


def test_single_seeds_give_the_paired_t_test():
    arm, baseline = singles(6, seed=2), singles(6)
    expected = stats.ttest_rel(values_of(arm), values_of(baseline))
    found = contrast(arm, baseline)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert (found.method, found.degrees, found.seeds, found.replicates) == (T, pytest.approx(5), 6, 6)


@pytest.mark.parametrize("members, n", [(2, 6), (2, 7), (3, 10), (4, 8), (5, 10)])
def test_disjoint_replicates_give_the_one_sample_t_test_of_their_differences(members, n):
    arm, baseline = made(DESIGNS["disjoint"](range(n), members)), singles(n)
    differences = values_of(paired_reference(arm, baseline))
    expected = stats.ttest_1samp(differences, 0.0)
    found = contrast(arm, baseline)
    assert found.mean == pytest.approx(np.mean(differences))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert (found.method, found.replicates, found.seeds) == (T, n // members, n // members * members)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("members, n", [(1, 5), (2, 5), (3, 6), (3, 7), (4, 6), (5, 6), (5, 8)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_error_over_seeds_equals_a_loop_over_deleted_seeds(design, members, n, seed):
    replicates = DESIGNS[design](range(n), members)
    if len(replicates) < 2:
        assert seed_error(np.zeros(1), replicates).reason == "one replicate"
        return
    values = values_of(made(replicates, seed))
    variance, degrees = seed_error_reference(values, replicates)
    found = seed_error(np.array(values), replicates)
    assert found.variance == pytest.approx(variance)
    assert found.degrees == pytest.approx(degrees)


@pytest.mark.parametrize("members, n", [(2, 6), (3, 6), (4, 8), (5, 6)])
def test_all_subsets_have_at_most_the_plain_jackknife_error(members, n):
    """The interval has as many degrees of freedom as seeds, minus one."""
    arm, baseline = made(DESIGNS["all"](range(n), members)), singles(n)
    paired = paired_reference(arm, baseline)
    plain = jackknife_reference(values_of(paired), [each.seeds for each in paired])
    found = contrast(arm, baseline)
    assert found.degrees == pytest.approx(n - 1)
    assert found.method == JACKKNIFE
    assert 0.5 * plain <= found.error**2 * (1 + 1e-9) and found.error**2 <= plain * (1 + 1e-9)
    if n == members + 1:
        assert found.error**2 == pytest.approx(plain)


def test_without_noise_all_subsets_give_the_jackknife():
    """Nothing is subtracted if replicates have no noise."""
    effects = np.random.default_rng(3).normal(size=7)
    replicates = list(combinations(range(7), 3))
    values = np.array([effects[list(each)].mean() for each in replicates])
    assert seed_error(values, replicates).variance == pytest.approx(effects.var(ddof=1) / 7)


def test_replicates_that_repeat_one_seed_count_as_single_seeds():
    arm, baseline = made([(each,) * 4 for each in range(5)]), singles(5)
    expected = stats.ttest_rel(values_of(arm), values_of(baseline))
    found = contrast(arm, baseline)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.seeds, found.method) == (5, T)


def test_a_replicate_is_compared_with_the_baselines_replicates_of_its_seeds():
    arm = made([(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)])
    baseline = made([(each, each + 1) for each in range(0, 12, 2)], seed=5)
    found = contrast(arm, baseline)
    differences = values_of(paired_reference(arm, baseline))
    assert differences[0] == arm[0].accuracy - (baseline[0].accuracy + baseline[1].accuracy) / 2
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue)


def test_a_baseline_with_more_members_exchanges_roles_with_the_arm():
    few, many = singles(6), made([(0, 1), (2, 3), (4, 5)])
    found, turned = contrast(few, many), contrast(many, few)
    assert found.mean == pytest.approx(-turned.mean)
    assert found.error == pytest.approx(turned.error)
    assert (found.p, found.replicates) == (pytest.approx(turned.p), 3)


def test_replicates_without_a_counterpart_are_left_out():
    arm, baseline = singles(9, seed=2), singles(5)
    found = contrast(arm, baseline)
    assert found.p == pytest.approx(stats.ttest_rel(values_of(arm)[:5], values_of(baseline)).pvalue)
    assert (found.seeds, found.replicates) == (5, 5)
    own, others = pairs([each.seeds for each in arm], [each.seeds for each in baseline]).weights
    assert own == pytest.approx([0.2] * 5 + [0.0] * 4)
    assert others == pytest.approx([0.2] * 5)


def test_arms_without_a_common_seed_are_compared_as_two_samples():
    arm, baseline = made([(100, 101), (102, 103), (104, 105)]), singles(5)
    expected = stats.ttest_ind(values_of(arm), values_of(baseline), equal_var=False)
    found = contrast(arm, baseline)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert (found.method, found.seeds, found.replicates) == (UNPAIRED, 5, 3)


def test_too_few_pairs_for_an_interval_are_compared_as_two_samples():
    """Only one of two replicates has the baseline's seeds, so pairs alone would give no interval."""
    arm, baseline = made([(0, 1, 2), (3, 4, 5)]), singles(3)
    found = contrast(arm, baseline)
    assert found.method == UNPAIRED
    assert found.mean == pytest.approx(np.mean(values_of(arm)) - np.mean(values_of(baseline)))


@pytest.mark.parametrize(
    "replicates, reason",
    [
        ([(0, 1, 2, 3, 4)], "one replicate"),
        ([(0, 1), (1, 2), (3, 1)], "every replicate has seed 1"),
        ([(0, 1), (1, 0)], "every replicate has seed 0"),
    ],
)
def test_there_is_no_interval_if_a_seed_cannot_be_deleted(replicates, reason):
    found = contrast(made(replicates), singles(5))
    assert (found.interval, found.p, found.error, found.method, found.reason) == (None, None, None, "", reason)
    assert math.isfinite(found.mean)


def test_there_is_no_interval_if_all_replicates_are_equal():
    found = contrast([Replicate((i,), 60.1) for i in range(3)], [Replicate((i,), 50.3) for i in range(3)])
    assert (found.interval, found.reason) == (None, "all replicates are equal")


def test_a_difference_of_contrasts_equals_welchs_test():
    first = contrast(singles(6, seed=2), singles(6))
    second = contrast(singles(4, seed=3), singles(4, seed=4))
    ours = [
        np.subtract(values_of(singles(6, seed=2)), values_of(singles(6))),
        np.subtract(values_of(singles(4, seed=3)), values_of(singles(4, seed=4))),
    ]
    expected = stats.ttest_ind(*ours, equal_var=False)
    found = difference(first, second)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert found.degrees == pytest.approx(expected.df)
    assert (found.seeds, found.method) == (4, DIFFERENCE)


def test_a_difference_without_an_interval_gives_the_reason():
    first, second = contrast(singles(6, seed=2), singles(6)), contrast(singles(1, seed=3), singles(1))
    found = difference(first, second)
    assert (found.interval, found.reason) == (None, "one replicate")
    assert found.mean == pytest.approx(first.mean - second.mean)


def test_holm_multiplies_p_values_by_decreasing_numbers():
    """The smallest p is multiplied by the number of p-values, the next by one less."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_rejects_the_same_hypotheses_as_the_stepwise_procedure():
    """The least p is compared with level / number, the next with level / (number - 1), until one is above its limit."""
    draws = random.Random(0)
    for _ in range(200):
        p_values = [draws.random() ** 3 for _ in range(draws.randint(1, 9))]
        rejected, left = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
        while left and p_values[left[0]] <= 0.05 / len(left):
            rejected.add(left.pop(0))
        assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def test_the_error_over_rows_is_the_standard_error_of_the_mean_difference():
    draws = np.random.default_rng(0)
    arm, baseline = draws.random((3, 400)) < 0.7, draws.random((6, 400)) < 0.6
    found = pairs([(0, 1), (2, 3), (4, 5)], [(i,) for i in range(6)])
    differences = 100 * (arm.mean(0) - baseline.mean(0))
    assert row_error(arm, baseline, found) == pytest.approx(stats.sem(differences))
    assert row_error(arm[:, :1], baseline[:, :1], found) is None


def test_the_error_over_rows_equals_the_spread_over_resampled_rows():
    draws = np.random.default_rng(1)
    baseline = draws.random((1, 500)) < 0.6
    arm = baseline ^ (draws.random((1, 500)) < 0.2)  # paired: both are right on mostly the same rows
    found = pairs([(0,)], [(0,)])
    resampled = [(arm[0, rows].mean() - baseline[0, rows].mean()) * 100 for rows in draws.integers(0, 500, (4000, 500))]
    assert row_error(arm, baseline, found) == pytest.approx(np.std(resampled), rel=0.05)


TRUTHS = [Truth(1.0), Truth(0.5), Truth(0.5, 0.25), Truth(0.25, 0.25)]


@pytest.mark.parametrize("design, members, n", [
    ("disjoint", 1, 5), ("disjoint", 2, 6), ("disjoint", 4, 8), ("cyclic", 2, 6), ("cyclic", 4, 8), ("cyclic", 5, 10),
    ("all", 2, 6), ("all", 3, 7), ("all", 5, 8),
])  # fmt: skip
@pytest.mark.parametrize("truth", TRUTHS)
def test_intervals_contain_the_truth_in_about_95_percent_of_simulated_studies(design, members, n, truth):
    """Three standard errors of a coverage of 95 % are two points in 1,000 studies."""
    found = list(studies(DESIGNS[design](range(n), members), n, truth, 1000, seed=n))
    assert 92 - 1.5 <= coverage(found) <= 98 + 1.5


@pytest.mark.parametrize("design", ["cyclic", "all"])
def test_intervals_with_one_seed_more_than_members_are_not_too_short(design):
    found = list(studies(DESIGNS[design](range(6), 5), 6, Truth(0.5, 0.25), 500, seed=6))
    assert coverage(found) >= 92


@pytest.mark.parametrize("case", other_cases())
def test_intervals_cover_the_truth_without_full_pairing(case):
    """Baselines with fewer seeds than the arm, and two samples; docs/explanation/coverage.md has 4,000 studies of each."""
    arm, baseline = other_cases()[case]
    found = list(sides(arm, baseline, Truth(0.5), 600, seed=7))
    assert coverage(found) > 90
