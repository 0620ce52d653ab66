"""Tests of planning.pilot: the seeds that a study needs, estimated from the contrasts of an earlier run."""

from pathlib import Path

import pytest

from tests.support.tables import arm_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Contrast, T
from workflow_scripts.timecat.planning.pilot import PilotContrast, contrast_of, pilot_text
from workflow_scripts.timecat.tables.contrasts import GAIN, ContrastRow, contrast_records
from workflow_scripts.timecat.tables.writers.csv import csv_text

WIDE = Contrast(1.0, 0.7, 4.0, 10, 5, T)
CLEAR = Contrast(9.0, 0.7, 4.0, 10, 5, T)
NONE = Contrast(9.0, None, None, 5, 1, "", "one replicate")


def pilot(contrast, members=2, name="cat2"):
    """Return the contrast of an arm of table 2 as a pilot gives it."""
    return PilotContrast("table2", name, "away", contrast, members)


def cells(text, name):
    """Return the words of the line of an arm in the printed text."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"table2: {name} ")]
    return line.split()


def test_a_contrast_is_read_back_as_it_was_written():
    arm = arm_of(name="cat2", members=2, steps=8, transfer="probe")
    for found in (WIDE, NONE):
        text = csv_text(contrast_records([ContrastRow(GAIN, arm, "away", "holdout", "cat1", found, 0.5)]))
        header, line = text.splitlines()
        assert contrast_of(dict(zip(header.split(","), line.split(","))), Path("x.csv")) == found
    with pytest.raises(UserError, match="x.csv is not a table of contrasts"):
        contrast_of({"mean": "1"}, Path("x.csv"))


def test_the_seeds_that_unresolved_contrasts_need_are_printed():
    text = pilot_text([pilot(WIDE), pilot(CLEAR, name="clear"), pilot(NONE, 5, "cat5")])
    assert cells(text, "cat2")[2:] == ["away", "+1.00", "-0.94", "to", "+2.94", "10", "34"]
    assert cells(text, "clear")[-1] == "resolved"
    assert cells(text, "cat5")[-4:] == ["5", "at", "least", "1"]
    assert "at least members + 1 seeds" in text and "Disjoint replicates use each seed once" in text


def test_notes_are_printed_only_where_they_apply():
    text = pilot_text([pilot(Contrast(0.001, 0.7, 4.0, 5, 5, T), 1)])
    assert cells(text, "cat2")[-2:] == ["over", "195"]
    assert "members + 1" not in text and "Disjoint" not in text
    assert pilot_text([]) == ""
