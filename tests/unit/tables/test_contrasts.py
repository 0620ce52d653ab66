"""Contrasts of a table: comparisons, adjusted p-values, bold means and notes."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from tests.support.tables import arms_of, data_sets_of
from tests.unit.study.test_arms import study
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Contrast, Replicate, contrast, holm, pairs, row_error
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables.contrasts import (
    AGAINST,
    GAIN,
    ON_TARGET,
    ContrastRow,
    adjusted,
    against_section,
    best_arms,
    comparisons,
    contrast_notes,
    contrast_section,
)
from workflow_scripts.timecat.tables.writers.text import phrase_text

ARMS = arms_of([{"name": f"cat{k}", "members": k, "steps": 8, "transfer": "probe"} for k in (1, 2, 5)])
DATA_SETS = data_sets_of(
    [
        {"name": "home", "title": "Home", "in_distribution": True},
        {"name": "away", "title": "Away", "in_distribution": False},
    ]
)
ROWS = 200


def replicates(seeds, mean, noise=1.0, draw=0):
    draws = np.random.default_rng(draw)
    return [Replicate(tuple(each), float(mean + noise * draws.normal())) for each in seeds]


SINGLE = [(seed,) for seed in range(6)]
PAIRS = [(0, 1), (2, 3), (4, 5)]


def compared(**changes):
    """Return comparisons of three arms, of which the last has one replicate."""
    made = {
        "cat1": replicates(SINGLE, 50, draw=1),
        "cat2": replicates(PAIRS, 60, draw=2),
        "cat5": replicates([range(5)], 70),
    } | changes
    accuracies = {(arm, each.name, "paper"): own for arm, own in made.items() for each in DATA_SETS}
    hits = {
        place: np.arange(ROWS) < ROWS * np.array([each.accuracy for each in own])[:, None] / 100
        for place, own in accuracies.items()
    }
    return comparisons(accuracies, hits, ARMS, DATA_SETS, "cat1")


def said(found):
    """Return the notes on contrasts as plain texts."""
    return [phrase_text(note, str, str, str) for note in contrast_notes(found)]


def test_every_arm_but_the_baseline_has_a_row_for_each_data_set():
    found = compared()
    assert [(row.kind, row.arm.name, row.data_set, row.baseline) for row in found.rows] == [
        (GAIN, arm, data_set, "cat1") for arm in ("cat2", "cat5") for data_set in ("home", "away")
    ]
    assert found.gain("cat2", "away", "paper").contrast.mean == pytest.approx(10, abs=3)
    assert found.gain("cat1", "away", "paper") is None
    assert all(row.row_error > 0 for row in found.rows)


def test_holms_adjustment_is_within_a_selection_and_excludes_the_source():
    def row(kind, data_set, selection, mean):
        return ContrastRow(kind, ARMS[1], data_set, selection, "cat1", Contrast(mean, 1.0, 5.0, 6, 6, "t"))

    rows = [
        row(GAIN, "home", "paper", 9.0),
        row(GAIN, "away", "paper", 3.0),
        row(GAIN, "away", "paper", 4.0),
        row(GAIN, "away", "holdout", 3.0),
        row("over floor", "away", "paper", 3.0),
        ContrastRow(GAIN, ARMS[2], "away", "paper", "cat1", Contrast(9.0, None, None, 5, 1, "", "one replicate")),
    ]
    p = [each.contrast.p for each in rows]
    found = [each.p_holm for each in adjusted(rows, DATA_SETS)]
    assert found == [None, pytest.approx(max(2 * p[2], p[1])), pytest.approx(2 * p[2]), p[3], p[4], None]


def test_all_hypotheses_of_a_selection_are_one_family():
    """A table that compares its arms with two baselines has twice as many hypotheses."""
    rows = [
        ContrastRow(kind, ARMS[1], "away", "paper", baseline, Contrast(mean, 1.0, 5.0, 6, 6, "t"))
        for kind, baseline, mean in ((GAIN, "cat1", 3.0), (ON_TARGET, "own", 4.0))
    ]
    first, second = adjusted(rows, DATA_SETS)
    assert second.p_holm == pytest.approx(2 * second.p) and first.p_holm == pytest.approx(max(first.p, 2 * second.p))


def test_means_not_distinguishable_from_the_best_are_bold():
    """A mean without an interval is not bold."""
    near = replicates(SINGLE, 50.1, draw=3)
    assert best_arms({"one": replicates(SINGLE, 50, draw=1), "near": near, "far": replicates(SINGLE, 40)}) in (
        ["one", "near"],
        ["near", "one"],
    )
    assert ttest_rel(*([r.accuracy for r in x] for x in (near, replicates(SINGLE, 50, draw=1)))).pvalue > 0.05
    assert best_arms({"one": replicates(SINGLE, 50), "high": replicates([(0, 1)], 90)}) == ["one"]
    assert best_arms({"one": replicates([(0,)], 50)}) == []
    assert compared().best == {("cat2", "home", "paper"), ("cat2", "away", "paper")}


def test_notes_name_arms_without_an_interval():
    """The notes also name arms that are compared as two samples."""
    found = said(compared())
    assert found[1:] == ["cat5: no interval over seeds (one replicate)."]
    level = [Replicate(seeds, 50.0) for seeds in SINGLE]
    accuracies = {("cat1", name, "paper"): level for name in ("home", "away")} | {("cat2", "home", "paper"): level}
    accuracies["cat2", "away", "paper"] = replicates(SINGLE, 60)
    hits = {place: np.zeros((6, ROWS), bool) for place in accuracies}
    alike = comparisons(accuracies, hits, ARMS[:2], DATA_SETS, "cat1")
    assert said(alike)[1:] == ["cat2 on home: no interval over seeds (all replicates are equal)."]
    other = said(compared(cat2=replicates([(7, 8), (9, 10), (11, 12)], 60)))
    assert (
        "cat2: too few seeds in common with cat1 to be paired, so they are compared as two independent samples."
        in other
    )


def test_the_section_of_contrasts_has_a_line_for_each_arm():
    found = contrast_section(compared(), DATA_SETS, "paper")
    assert [column.title for column in found.columns] == ["method", "seeds", "n", "Home", "Away"]
    cells = [[value.shown() for value in row] for row in found.rows]
    assert [line[0].text for line in cells] == ["cat2", "cat5"]
    assert "p" not in cells[0][3].aside and ", p " in cells[0][4].aside, "no adjusted p on the source"
    assert cells[1][4].aside.startswith("rows ± ")
    lower = contrast_section(compared(cat2=replicates(PAIRS, 45)), DATA_SETS, "paper")
    assert lower.rows[0][4].shown().text.startswith("−"), "a minus sign, not a hyphen, also in LaTeX"
    alone = comparisons({("cat1", "away", "paper"): replicates(SINGLE, 50)}, {}, ARMS[:1], DATA_SETS[1:], "cat1")
    assert contrast_section(alone, DATA_SETS, "paper") is None and said(alone) == []


# --- comparisons with arms other than the baseline ---

WIDE = replicates(SINGLE, 64, draw=4)
COMPARED = arms_of(
    [
        {"name": "cat1", "members": 1, "steps": 8},
        {"name": "cat2", "members": 2, "steps": 8},
        {"name": "wide", "members": 1, "steps": 8, "against": ["cat2"]},
        {"name": "wider", "members": 1, "steps": 8, "against": ["wide", "cat2"]},
    ]
)


def compared_beside(**changes):
    """Return comparisons of four arms. The last two are also compared with arms other than the baseline."""
    made = {
        "cat1": replicates(SINGLE, 50, draw=1),
        "cat2": replicates(PAIRS, 60, draw=2),
        "wide": WIDE,
        "wider": replicates(SINGLE, 62, draw=5),
    } | changes
    accuracies = {(arm, each.name, "paper"): own for arm, own in made.items() for each in DATA_SETS}
    hits = {
        place: np.arange(ROWS) < ROWS * np.array([each.accuracy for each in own])[:, None] / 100
        for place, own in accuracies.items()
    }
    return comparisons(accuracies, hits, COMPARED, DATA_SETS, "cat1"), accuracies, hits


def test_an_arm_is_compared_with_the_arms_that_its_against_names():
    found, accuracies, hits = compared_beside()
    beside = [row for row in found.rows if row.kind == AGAINST]
    places = [("wide", "cat2"), ("wider", "wide"), ("wider", "cat2")]
    assert [(row.arm.name, row.baseline, row.data_set) for row in beside] == [
        (*pair, data_set) for pair in places for data_set in ("home", "away")
    ]
    for row in beside:
        own, other = ((name, row.data_set, "paper") for name in (row.arm.name, row.baseline))
        assert row.contrast == contrast(accuracies[own], accuracies[other])
        both = pairs([each.seeds for each in accuracies[own]], [each.seeds for each in accuracies[other]])
        assert row.row_error == row_error(hits[own], hits[other], both)
    wider, wide = ([each.accuracy for each in accuracies[name, "away", "paper"]] for name in ("wider", "wide"))
    expected = ttest_rel(wider, wide)
    assert beside[3].contrast.mean == pytest.approx(np.mean(wider) - np.mean(wide))
    assert beside[3].p == pytest.approx(expected.pvalue)
    gains = [row for row in found.rows if row.kind == GAIN]
    assert {(row.arm.name, row.baseline) for row in gains} == {(name, "cat1") for name in ("cat2", "wide", "wider")}
    assert found.gain("wide", "away", "paper").baseline == "cat1"


def test_contrasts_by_against_and_gains_are_one_family():
    found, *_ = compared_beside()
    tested = [row for row in found.rows if row.data_set == "away"]
    assert len(tested) == 3 + 3
    assert [row.p_holm for row in tested] == pytest.approx(holm([row.p for row in tested]))
    assert all(row.p_holm is None for row in found.rows if row.data_set == "home")


def test_contrasts_by_against_have_a_line_for_each_pair():
    """Arms that `against` names have a section of contrasts for readers."""
    found, *_ = compared_beside()
    section = against_section(found, DATA_SETS, "paper")
    assert [column.title for column in section.columns] == ["method", "compared with", "seeds", "n", "Home", "Away"]
    lines = [[value.shown().text for value in row] for row in section.rows]
    assert [line[:4] for line in lines] == [
        ["wide", "cat2", "6", "3"],
        ["wider", "wide", "6", "6"],
        ["wider", "cat2", "6", "3"],
    ]
    (second,) = (row for row in found.rows if (row.arm.name, row.baseline, row.data_set) == ("wider", "wide", "away"))
    assert lines[1][5] == f"{second.contrast.mean:+.2f}".replace("-", "−") and lines[1][5] != lines[2][5]
    own = contrast_section(found, DATA_SETS, "paper")
    assert [row[0].shown().text for row in own.rows] == ["cat2", "wide", "wider"]
    assert against_section(compared(), DATA_SETS, "paper") is None


def test_notes_name_the_contrasts_in_which_an_arm_has_no_interval():
    first = said(compared_beside()[0])[0]
    assert "each replicate of the arm with more members is compared with" in first
    assert "over all arms and targets of a selection, including the further contrasts and excluding the source" in first
    assert (
        "further contrasts" not in said(compared())[0]
        and "each replicate of an arm is compared with the mean of the baseline's" in said(compared())[0]
    )
    level = [Replicate(each.seeds, each.accuracy - 1) for each in WIDE]
    (_, *notes) = said(compared_beside(wider=level)[0])
    assert notes == ["wider minus wide: no interval over seeds (all replicates are equal)."]
    (_, *notes) = said(compared_beside(wider=replicates([(0,)], 62))[0])
    assert notes == ["wider: no interval over seeds (one replicate)."], "one note, and not one for each contrast"
    (_, *notes) = said(compared_beside(wide=replicates([(seed,) for seed in range(7, 12)], 64))[0])
    assert notes == [
        "wide: too few seeds in common with cat1 to be paired, so they are compared as two independent samples.",
        "wide: too few seeds in common with cat2 to be paired, so they are compared as two independent samples.",
        "wider: too few seeds in common with wide to be paired, so they are compared as two independent samples.",
    ]


def test_an_interval_missing_under_one_selection_has_a_note():
    """The second selection has an interval, which must not hide the note."""
    level = [Replicate(seeds, 50.0) for seeds in SINGLE]
    accuracies = {("cat1", "away", selection): level for selection in ("paper", "holdout")}
    accuracies |= {("cat2", "away", "paper"): level, ("cat2", "away", "holdout"): replicates(SINGLE, 60)}
    hits = {place: np.zeros((6, ROWS), bool) for place in accuracies}
    found = comparisons(accuracies, hits, ARMS[:2], DATA_SETS[1:], "cat1")
    assert said(found)[1:] == ["cat2: no interval over seeds (all replicates are equal)."]


# --- the baseline in a config ---


def test_the_baseline_is_the_first_row_or_the_named_row():
    made = study()
    assert [made.table_params.baseline(TableKey(name)) for name in ("table2", "table1")] == ["cat1", "cat1"]
    arms = ["cat1", {"name": "wide", "members": 1, "steps": 6, "backbone": "wide"}]
    made = study(baseline="cat2", table1={"baseline": "wide", "arms": arms})
    assert [made.table_params.baseline(TableKey(name)) for name in ("table2", "table1")] == ["cat2", "wide"]


@pytest.mark.parametrize("block", [{"baseline": "cat9"}, {"table1": {"baseline": "copies", "arms": ["cat1"]}}])
def test_a_baseline_that_is_not_a_row_is_refused(block):
    with pytest.raises(UserError, match="baseline.* is not one of the rows"):
        study(**block)
