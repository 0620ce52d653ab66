"""Test draws of a few-shot data set: their rows, the column `draws` of the index, and the rows of each replicate."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.images import draw_image_folder, read_split, write_data_set
from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.config.data_sets import ImageFolder
from workflow_scripts.timecat.draws import rows_of_draws
from workflow_scripts.timecat.images.datasets.file_splits import split_rows, subset_rows
from workflow_scripts.timecat.images.datasets.registry import as_settings

COUNTS = [100, 41, 12, 3, 1]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), COUNTS))


def settings(**changes) -> dict:
    """Return the settings of the training split as the stage receives them."""
    return ImageFolder(kind="image_folder", **{"root": "any"} | changes).of_split("train")


def draws(number: int, **changes) -> list[np.ndarray]:
    """Return the rows of each of several draws from LABELS."""
    values = as_settings(settings(**changes))
    return [subset_rows(LABELS, values, draw) for draw in range(number)]


def test_the_first_draw_has_the_smallest_hashes_of_each_class():
    hashes = randomness.bits(randomness.key("fraction", 3), np.arange(len(LABELS)))
    (first,) = draws(1, fraction=0.1, subset_seed=3)
    for label, taken in enumerate((10, 4, 1, 1, 1)):
        own = np.flatnonzero(LABELS == label)
        assert first[LABELS[first] == label].tolist() == sorted(own[np.argsort(hashes[own])[:taken]])


@pytest.mark.parametrize("balanced", [True, False])
def test_draws_share_no_row_while_there_are_enough_rows(balanced):
    found = draws(5, fraction=0.2, balanced=balanced)
    assert all(rows.tolist() == sorted(set(rows.tolist())) for rows in found)
    if balanced:
        assert all(np.bincount(LABELS[rows]).tolist() == [20, 8, 2, 1, 1] for rows in found), "each has every class"
        large = [rows[np.isin(LABELS[rows], [0, 1, 2])] for rows in found]
        assert len(np.unique(np.concatenate(large))) == 5 * 30
    else:
        assert [len(rows) for rows in found] == [31] * 5 and len(np.unique(np.concatenate(found))) == 5 * 31


def test_draws_beyond_the_last_row_use_new_hashes():
    one, two, three, four = (rows[LABELS[rows] == 0] for rows in draws(4, fraction=0.5))
    every = np.flatnonzero(LABELS == 0)
    assert np.array_equal(np.union1d(one, two), every) and np.array_equal(np.union1d(three, four), every)
    assert not np.array_equal(three, one) and not np.array_equal(three, two)
    assert len({tuple(rows) for rows in draws(9, fraction=0.9)}) == 9


def test_the_rows_of_the_first_draw_come_first():
    """The training split has the rows of all draws."""
    values = as_settings(settings(fraction=0.2, draws=5))
    rows, drawn = split_rows(LABELS, values, "train")
    found = draws(5, fraction=0.2)
    assert sorted(rows) == np.unique(np.concatenate(found)).tolist() and drawn.shape == (len(rows), 5)
    assert rows[: len(found[0])].tolist() == found[0].tolist()
    for own, mine in zip(drawn.T, found, strict=True):
        assert sorted(rows[own]) == mine.tolist()
    once, none = split_rows(LABELS, replace(values, draws=None), "train")
    assert once.tolist() == found[0].tolist() and none is None
    assert split_rows(LABELS, values, "evaluation")[1] is None


def test_the_index_lists_the_draws_of_each_row(tmp_path):
    root = draw_image_folder(tmp_path / "photos", {"ant": 6, "bee": 5}, sides=(8, 8))
    told = settings(root=str(root), fraction=0.4, draws=3, broken="skip")
    (root / "train/bee/000.png").write_bytes(b"no image")
    split = read_split(told, "train")
    written = write_data_set("few", "train", told, tmp_path).with_suffix(".index.parquet")
    index = pq.read_table(written).to_pylist()
    broken = split.sources.index("train/bee/000.png")
    kept = [row for row in range(len(split)) if row != broken]
    assert [row["draws"] for row in index] == [np.flatnonzero(split.draws[row]).tolist() for row in kept]
    found = rows_of_draws(written)
    assert [sorted(index[row]["source"] for row in rows) for rows in found] == [
        sorted(split.sources[row] for row in kept if split.draws[row, draw]) for draw in range(3)
    ]
    once = {key: value for key, value in told.items() if key != "draws"}
    write_data_set("few", "train", once, tmp_path)
    assert "draws" not in pq.read_schema(written).names and rows_of_draws(written) == []
