"""Test that random numbers are uniform and a pure function of (key, index, draw)."""

import numpy as np
import pytest

from workflow_scripts.timecat.randomness import bits, key, permutation, uniform


def splitmix64_reference(state: int) -> int:
    """Return one output of SplitMix64 as a plain integer (Steele, Lea, Flood 2014, figure 17, as given by Vigna)."""
    mask = (1 << 64) - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_first_draw_of_index_zero_is_splitmix64():
    # _mix(0 * golden + key) leaves 0 at 0, so what remains is SplitMix64 from state 0.
    assert int(bits(0, 0)) == splitmix64_reference(0) == 0xE220A8397B1DCDAF


def test_a_value_does_not_depend_on_the_other_indices_of_the_call():
    rows = np.arange(1000)
    whole = uniform(key("a", 1), rows, 3)
    assert np.array_equal(uniform(key("a", 1), rows[::-1], 3)[::-1], whole)
    assert uniform(key("a", 1), 17, 3) == whole[17]


@pytest.mark.parametrize("draw", [0, 1, 7])
def test_uniform_is_uniform_and_uncorrelated(draw):
    sample = uniform(key("b"), np.arange(100_000), draw)
    assert abs(sample.mean() - 0.5) < 0.005 and abs(sample.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(sample, uniform(key("b"), np.arange(100_000), draw + 1))[0, 1]) < 0.02


def test_keys_differ_by_part_and_by_type():
    assert len({key("a", 1), key("a", 2), key("a", "1"), key("a1"), key("a/int:1")}) == 5


def test_permutation_keeps_the_rows_and_differs_by_key():
    rows = np.arange(10, 500)
    first, second = permutation(key("p", 0), rows), permutation(key("p", 1), rows)
    assert sorted(first) == list(rows) and not np.array_equal(first, second)
    # Leaving rows out does not change the order of the others.
    kept = rows[::3]
    assert np.array_equal(permutation(key("p", 0), kept), first[np.isin(first, kept)])
