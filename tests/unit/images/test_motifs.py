"""Test the synthetic sequences: the label tells whether a motif is present, and only the motif predicts the label."""

import re

import numpy as np
import pytest

from tests.support.images import read_split
from workflow_scripts.timecat.images.datasets import motifs

LENGTH = 100


@pytest.fixture(scope="module")
def made():
    """Evaluation split of ``motifs`` with 3,600 sequences."""
    return split("evaluation")


def split(name: str, seed: int = 1, rows: int = 3600):
    """Return the split ``name`` of ``motifs``."""
    return read_split({"kind": "motifs", "seed": seed, "rows": {name: rows}, "length": LENGTH}, name)


def pattern(motif: list[str]) -> str:
    return "".join(f"[{letters}]" for letters in motif)


def of_task(made, task: str) -> tuple[list[str], np.ndarray]:
    """Return the sequences of a task, and for each sequence whether its class is 1."""
    rows = np.flatnonzero(made.groups["task"] == task)
    return [made.images.sequences[row] for row in rows], made.labels[rows] % 2 == 1


def test_labels_combine_task_and_class(made):
    assert made.class_names == ["single:0", "single:1", "spaced:0", "spaced:1", "ordered:0", "ordered:1"]
    tasks, labels = made.groups["task"], made.labels
    assert [made.class_names[label].split(":")[0] for label in labels] == tasks.tolist()
    assert np.bincount(labels // 2).tolist() == [1200] * 3, "equally many rows of each task"
    assert np.abs(np.bincount(labels) / len(labels) - 1 / 6).max() < 0.02


@pytest.mark.parametrize("task", motifs.TASKS)
def test_class_0_rarely_contains_the_motif_of_class_1(made, task):
    first, *second = map(pattern, motifs.motifs(1)[task])
    gap = {"single": "", "spaced": ".{3,8}", "ordered": ".{2,12}"}[task]
    wanted = re.compile(first + gap + "".join(second))
    sequences, has = of_task(made, task)
    found = np.array([wanted.search(sequence) is not None for sequence in sequences])
    assert found[has].all() and found[~has].mean() < 0.03


def test_class_0_has_single_motifs_or_the_reverse_order(made):
    alphabet = motifs.motifs(1)
    sequences, has = of_task(made, "spaced")
    first, second = map(pattern, alphabet["spaced"])
    single = [sum(re.search(each, text) is not None for each in (first, second)) for text in np.array(sequences)[~has]]
    assert min(single) == 1 and np.mean(single) < 1.1
    sequences, has = of_task(made, "ordered")
    first, second = map(pattern, alphabet["ordered"])
    other_way = re.compile(second + ".{2,12}" + first)
    assert all(other_way.search(text) for text in np.array(sequences)[~has])


def strong(sequences: list[str]) -> np.ndarray:
    """Return the share of G and C of each sequence."""
    return np.array([sum(map(text.count, "GC")) / len(text) for text in sequences])


def test_length_and_composition_hardly_predict_the_class(made):
    """Length and composition do predict the task."""
    for task in motifs.TASKS:
        sequences, has = of_task(made, task)
        lengths = np.array([len(text) for text in sequences])
        low, high = (round(share * LENGTH) for share in motifs.LENGTHS[task])
        assert (lengths.min(), lengths.max()) == (low, high)
        assert abs(lengths[has].mean() - lengths[~has].mean()) < 1
        shares = strong(sequences)
        right = [((shares > bound) == has).mean() for bound in np.unique(shares)]
        assert max(*right, 1 - min(right)) < 0.65, "accuracy of the best threshold on the share of G and C"
    shares = [strong(of_task(made, task)[0]).mean() for task in motifs.TASKS]
    assert shares[0] + 0.05 < shares[1] < shares[2] - 0.05, "composition predicts the task"


def test_sequences_depend_only_on_split_and_seed():
    train = split("train", rows=50).images.sequences
    assert train == split("train", rows=50).images.sequences
    assert train != split("evaluation", rows=50).images.sequences
    assert motifs.motifs(1) != motifs.motifs(2)


@pytest.mark.parametrize("seed", range(5))
def test_the_degenerate_motif_has_four_bases_with_two_letters(seed):
    (single,) = motifs.motifs(seed)["single"]
    assert sorted(map(len, single)) == [1] * 6 + [2] * 4 and all(len(set(each)) == len(each) for each in single)
