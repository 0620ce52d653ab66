"""Test that held-out rows are stratified by class and depend only on (seed, fraction, labels)."""

import numpy as np
import pytest

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.holdout import heldout_rows

STABLE = [2, 11, 12, 21, 22, 27, 28, 29]


def test_held_out_rows_are_stratified_by_class():
    counts = {0: 100, 1: 44, 2: 46, 3: 2, 4: 1, 7: 9}
    labels = np.random.default_rng(0).permutation(np.repeat(list(counts), list(counts.values())))
    rows = heldout_rows(labels, seed=3, fraction=0.1)
    assert rows.dtype == np.int64
    assert np.array_equal(rows, np.unique(rows))
    taken = {c: int((labels[rows] == c).sum()) for c in counts}
    assert taken == {0: 10, 1: 4, 2: 5, 3: 1, 4: 0, 7: 1}


def test_held_out_rows_have_the_smallest_hashes_of_their_class():
    labels = np.arange(60) % 3
    rows = heldout_rows(labels, seed=11, fraction=0.25)
    hashes = randomness.bits(randomness.key("heldout", 11), np.arange(60))
    for c in range(3):
        own = np.flatnonzero(labels == c)
        assert sorted(own[np.argsort(hashes[own])[:5]]) == rows[labels[rows] == c].tolist()


def test_held_out_rows_are_fixed_by_the_seed():
    labels = np.array([0, 1] * 20)
    assert heldout_rows(labels, seed=0, fraction=0.2).tolist() == STABLE
    assert heldout_rows(labels.tolist(), np.int64(0), 0.2).tolist() == STABLE
    assert heldout_rows(labels, seed=1, fraction=0.2).tolist() != STABLE


def test_a_class_is_never_held_out_completely():
    assert len(heldout_rows([0, 0, 1, 1, 1], seed=0, fraction=0.99)) == 3


def test_an_empty_data_set_has_no_held_out_rows():
    assert heldout_rows([], seed=0, fraction=0.1).tolist() == []


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_a_fraction_outside_of_0_to_1_is_refused(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        heldout_rows([0, 0], 0, fraction)
