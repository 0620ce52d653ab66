"""Tests of benchmarks.reproducibility: its tables distinguish settings and batch sizes. No time is tested."""

import re

import pytest
import torch

from benchmarks import reproducibility

pytestmark = pytest.mark.usefixtures("one_thread")


def test_equal_digests_have_equal_letters(monkeypatch):
    digests = {"1": "x", "2": "y", "3": "x"}
    monkeypatch.setattr(reproducibility, "PIECES", {"piece": None})
    monkeypatch.setattr(
        reproducibility, "in_a_process", lambda variables: {"piece": (digests[variables["A"]], int(variables["A"]))}
    )
    lines = reproducibility.settings_table([{"A": number} for number in digests], rounds=2)
    assert lines[-3:] == ["| `A=1` | A 1000.00 |", "| `A=2` | B 2000.00 |", "| `A=3` | A 3000.00 |"]


def test_a_setting_that_gives_different_bits_each_time_is_refused(monkeypatch):
    results = iter([{"piece": ("x", 1)}, {"piece": ("y", 1)}])
    monkeypatch.setattr(reproducibility, "PIECES", {"piece": None})
    monkeypatch.setattr(reproducibility, "in_a_process", lambda variables: next(results))
    with pytest.raises(RuntimeError, match="piece with nothing gives different bits in different runs"):
        reproducibility.settings_table([{}], rounds=2)


def test_pieces_give_the_same_bits_when_repeated(monkeypatch):
    monkeypatch.setattr(reproducibility, "BATCH", 8)
    monkeypatch.setattr(reproducibility, "IMAGES", 6)
    monkeypatch.setattr(reproducibility, "STEPS", 3)
    monkeypatch.setattr(reproducibility, "CROPS", 50)
    first, again = reproducibility.measured(), reproducibility.measured()
    assert first.keys() == reproducibility.PIECES.keys() and len({digest for digest, _ in first.values()}) == len(first)
    assert {name: digest for name, (digest, _) in first.items()} == {
        name: digest for name, (digest, _) in again.items()
    }


def test_the_batch_size_table_counts_images_whose_features_differ(monkeypatch):
    def features(network, images, batch_size):
        whole = torch.ones(len(images), 2)
        if batch_size == 1:
            whole[3, 1] = 1.5
        return whole

    monkeypatch.setattr(reproducibility, "features_of", features)
    lines = reproducibility.batch_size_table((1, 2))
    assert lines[-len(reproducibility.BACKBONES) :] == [
        f"| {name} | 1, 5e-01 | 0 |" for name in reproducibility.BACKBONES
    ]


def test_the_page_has_a_row_for_each_setting_and_backbone():
    page = reproducibility.PAGE.read_text()
    measured = page.split(reproducibility.BEGIN)[1].split(reproducibility.END)[0]
    rows = [line for line in measured.splitlines() if re.match(r"\| (?!set in|backbone)", line)]
    names = [reproducibility.described(variables) for variables in reproducibility.SETTINGS]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == names + list(reproducibility.BACKBONES)
