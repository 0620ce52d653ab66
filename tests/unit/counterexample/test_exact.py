"""Test the exact part of the counterexample: the enumeration equals linear programs, the optimum its closed form."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from workflow_scripts.timecat.counterexample.exact import (
    FEATURE_SETS,
    IS_POSITIVE,
    POINTS,
    QUARTERS,
    TIE,
    answers,
    masses,
    optimum,
    simplex,
    solved,
    untied,
)


def is_linear(answer, features) -> bool:
    """Return whether some weights of these features and a bias give this answer, by a linear program."""
    sign = np.where(answer, 1, -1)[:, None]
    columns = POINTS[:, [feature - 1 for feature in features]]
    A = -sign * np.hstack([columns, np.ones((4, 1))])
    return linprog(np.zeros(A.shape[1]), A_ub=A, b_ub=-np.ones(4), bounds=(None, None)).success


@pytest.mark.parametrize("features", FEATURE_SETS)
def test_the_enumeration_contains_every_answer_of_linear_classifiers(features):
    wanted = {answer for answer in itertools.product([False, True], repeat=4) if is_linear(answer, features)}
    assert {tuple(answer) for answer in answers(features).tolist()} == wanted
    assert tuple(IS_POSITIVE) not in wanted  # no mixture of all four is separable


@pytest.mark.parametrize("grid", [1, 4, 7, 10])
def test_the_optimum_equals_the_closed_form(grid):
    """Feature 1 is best if |l1 - l2| > |l3 - l4|, feature 2 if it is less; the error is the least mass of a point."""
    mixtures = simplex(grid)
    first, second = np.abs(mixtures[:, 0] - mixtures[:, 1]), np.abs(mixtures[:, 2] - mixtures[:, 3])
    found = optimum(mixtures)
    assert np.array_equal(found.feature, np.select([first > second, first < second], [1, 2], TIE))
    assert np.array_equal(found.error, masses(mixtures).min(1))
    assert np.array_equal(
        found.error, grid - np.maximum(first, second)
    )  # in units of 1 / (4 x grid): (1 - largest difference) / 4
    assert (found.size == 1).all()


def test_the_simplex_has_every_mixture_once():
    mixtures = simplex(5)
    assert len(mixtures) == len({tuple(row) for row in mixtures.tolist()}) == 8 * 7 * 6 / 6
    assert (mixtures.sum(1) == 5).all() and (mixtures >= 0).all()
    assert (masses(mixtures).sum(1) == 20).all()


@pytest.mark.parametrize("grid", [1, 2, 3, 4, 7, 8])
def test_mixtures_for_which_both_features_are_equally_good_are_left_out(grid):
    mixtures = simplex(grid)
    first, second = np.abs(mixtures[:, 0] - mixtures[:, 1]), np.abs(mixtures[:, 2] - mixtures[:, 3])
    assert untied(grid).tolist() == mixtures[first != second].tolist()
    assert (len(untied(grid)) == len(mixtures)) == (grid % 2 == 1)  # an odd grid has no tie
    assert len(untied(8)) / len(simplex(8)) == pytest.approx(0.727, abs=1e-3)


def test_each_distribution_has_half_its_mass_on_each_class():
    """One of the four points has no mass."""
    assert (QUARTERS[:, IS_POSITIVE].sum(1) == 2).all() and (QUARTERS[:, ~IS_POSITIVE].sum(1) == 2).all()
    assert np.argwhere(QUARTERS == 0).tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


def test_a_probe_on_one_feature_solves_two_of_four_distributions():
    assert solved(()).tolist() == [False] * 4
    assert solved((1,)).tolist() == [True, True, False, False]
    assert solved((2,)).tolist() == [False, False, True, True]
    assert solved((1, 2)).tolist() == [True] * 4
