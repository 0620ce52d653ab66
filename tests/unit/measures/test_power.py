"""Test the number of seeds that a contrast needs, against published numbers of pairs and simulated studies."""

import numpy as np
import pytest
from scipy import stats

from workflow_scripts.timecat.measures.contrasts import JACKKNIFE, Contrast, T
from workflow_scripts.timecat.measures.power import power, seeds_needed


def pilot(effect, units, members=1, method=T, degrees=None):
    """Return a pilot whose differences have standard deviation 1."""
    degrees = units - 1 if degrees is None else degrees
    replicates = units if method == T else 20
    seeds = units * members if method == T else units
    return Contrast(effect, 1 / units**0.5, degrees, seeds, replicates, method)


@pytest.mark.parametrize("effect, pairs", [(0.5, 34), (0.8, 15), (1.0, 10), (-1.0, 10)])
def test_numbers_of_pairs_equal_published_numbers(effect, pairs):
    """The published numbers are for a two-sided level of 5 % and a power of 80 % (Cohen 1988)."""
    assert seeds_needed(pilot(effect, 4)) == pairs
    assert seeds_needed(pilot(effect, 4, method=JACKKNIFE)) == pairs


def test_disjoint_replicates_need_a_seed_for_every_member():
    assert seeds_needed(pilot(1.0, 4, members=5)) == 50


def test_power_equals_the_share_of_simulated_studies_that_reject():
    draws = np.random.default_rng(0).normal(0.7, 1.0, size=(20_000, 8))
    rejected = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert power(0.7, 1 / 8**0.5, 7) == pytest.approx(rejected.mean(), abs=0.01)
    assert power(0.0, 1.0, 7) == pytest.approx(0.05)


def test_a_tiny_difference_gives_no_number_of_seeds():
    """A pilot without an interval does not give a number, either."""
    assert seeds_needed(pilot(0.01, 4)) is None
    assert seeds_needed(Contrast(1.0, None, None, 5, 1, "", "one replicate")) is None
