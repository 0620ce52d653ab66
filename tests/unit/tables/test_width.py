"""Accuracy against dimensions: comparisons, the table and the figure."""

import csv
import io
import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest

from tests.support.tables import arm_of, data_sets_of, style_of
from workflow_scripts.timecat.measures.contrasts import Replicate, contrast, holm
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.figures import width as figures
from workflow_scripts.timecat.tables.model import Row, Summary, summarize
from workflow_scripts.timecat.tables.notes import arm_notes, cost_notes
from workflow_scripts.timecat.tables.width import ArmOfWidth, compared_alike, curves_of, width_records, width_table
from workflow_scripts.timecat.tables.worth import References, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text
from workflow_scripts.timecat.tables.writers.text import phrase_text

SMALL = {"architecture": "small_residual", "width": 4, "blocks": 3}  # 16 features
DATA_SETS = data_sets_of(
    [
        {"name": "home", "title": "Home", "in_distribution": True},
        {"name": "away", "title": "Away", "in_distribution": False},
    ]
)
SEEDS = {1: [(1,), (2,), (3,), (4,)], 2: [(1, 2), (3, 4), (1, 3), (2, 4)]}
WIDTHS = {1: (4, 16), 2: (4, 16, 32)}


def arm(members, method=None, width=None) -> ArmOfWidth:
    name = f"cat{members}"
    described = {"members": members, "steps": 8 // members, "transfer": "probe", "settings": SMALL, "of": name}
    reduce = {} if method is None else {"reduce": {"method": method, "dimensions": width}}
    own = name if method is None else f"{name}_{method}{width}"
    return json_of(ArmOfWidth)(json.dumps(described | reduce | {"name": own}))


ARMS = [
    each
    for members in (1, 2)
    for each in (
        arm(members),
        *(arm(members, method, width) for method in ("pca", "random") for width in WIDTHS[members]),
    )
]


def accuracy(of: ArmOfWidth, seeds, data_set: str) -> float:
    """Return an accuracy that grows with members, width and principal components, plus noise per replicate and cell."""
    noise = np.random.default_rng([len(of.name), sum(seeds), len(data_set), of.dimensions]).normal()
    return 40 + 5 * of.members + of.dimensions / 2 + (3 if "pca" in of.name else 0) + noise


ACCURACIES = {
    (each.name, data_set.name, selection): [
        Replicate(seeds, accuracy(each, seeds, data_set.name) + (selection == "paper")) for seeds in SEEDS[each.members]
    ]
    for each in ARMS
    for data_set in DATA_SETS
    for selection in SELECTIONS
}
HITS = {key: np.random.default_rng(0).random((len(own), 50)) < 0.5 for key, own in ACCURACIES.items()}
FLOORS = {
    (each.name, "away", selection): [Replicate(seeds, 20.0 + 0.1 * sum(seeds)) for seeds in SEEDS[each.members]]
    for each in ARMS
    if "random" not in each.name
    for selection in SELECTIONS
}
REFERENCES = References(FLOORS, {}, {("away", selection): 95.0 for selection in SELECTIONS})


@pytest.fixture(scope="module")
def compared():
    """Contrasts of all arms with the equally reduced baseline."""
    return compared_alike(ACCURACIES, HITS, ARMS, DATA_SETS, REFERENCES, "cat1")


@pytest.fixture(scope="module")
def rows():
    made = [
        Row(
            each,
            4,
            {
                (data_set.name, selection): summarize(
                    [own.accuracy for own in ACCURACIES[each.name, data_set.name, selection]]
                )
                for data_set in DATA_SETS
                for selection in SELECTIONS
            },
        )
        for each in ARMS
    ]
    return with_floors(made, REFERENCES)


def test_each_arm_is_compared_with_the_equally_reduced_baseline(compared):
    gains = {(row.arm.name, row.baseline) for row in compared.rows if row.kind == "gain"}
    same = {(f"cat2_{method}{width}", f"cat1_{method}{width}") for method in ("pca", "random") for width in (4, 16)}
    assert gains == {("cat2", "cat1")} | same, "and no contrast where the baseline is narrower"
    found = compared.gain("cat2_pca16", "away", "holdout").contrast
    key = "away", "holdout"
    assert found == contrast(ACCURACIES["cat2_pca16", *key], ACCURACIES["cat1_pca16", *key])
    excess = [row for row in compared.rows if (row.kind, row.arm.name) == ("excess", "cat2_pca16")]
    assert len(excess) == len(SELECTIONS) and all(row.data_set == "away" for row in excess)


def test_p_values_are_adjusted_over_all_widths_and_methods(compared):
    own = [
        row
        for row in compared.rows
        if (row.kind, row.selection, row.data_set) == ("gain", "holdout", "away") and row.p is not None
    ]
    assert len(own) == 5
    np.testing.assert_allclose([row.p_holm for row in own], holm([row.p for row in own]))
    assert all(row.p_holm is None for row in compared.rows if row.data_set == "home")


def test_curves_group_rows_by_arm_and_method_in_order(rows):
    found = curves_of(rows)
    assert [(curve.arm.of, curve.method, list(curve.rows)) for curve in found] == [
        ("cat1", None, [16]),
        ("cat1", "pca", [4, 16]),
        ("cat1", "random", [4, 16]),
        ("cat2", None, [32]),
        ("cat2", "pca", [4, 16, 32]),
        ("cat2", "random", [4, 16, 32]),
    ]


def test_the_csv_has_arm_method_and_dimensions_of_each_row(rows, compared):
    lines = list(csv.DictReader(io.StringIO(csv_text(width_records(rows, DATA_SETS, compared)))))
    assert list(lines[0])[:8] == [
        *("method", "arm", "reduced_by", "dimensions"),
        *("members", "steps_per_member", "total_steps", "replicates"),
    ]
    told = [(line["method"], line["arm"], line["reduced_by"], line["dimensions"]) for line in lines]
    assert told[:3] == [
        ("cat1", "cat1", "", "16"),
        ("cat1_pca4", "cat1", "pca", "4"),
        ("cat1_pca16", "cat1", "pca", "16"),
    ]
    (line,) = [line for line in lines if line["method"] == "cat2_pca16"]
    wanted = np.mean([own.accuracy for own in ACCURACIES["cat2_pca16", "away", "holdout"]])
    assert float(line["away_holdout"]) == pytest.approx(wanted, abs=0.005) and line["away_holdout_floor"] == "20.50"


def test_the_table_for_readers_has_a_column_per_width(rows, compared):
    """Each arm and method has a line."""
    text = markdown_text(width_table(rows, DATA_SETS, compared, "width"))
    head = "| arm | members × steps | reduced by | n | 4 | 16 | 32 | features | all features |"
    assert text.count(head) == 2 * 2 * 2, "two selections, two data sets, accuracies and contrasts"
    assert "a lower bound on what the features allow at that width" in text
    (section,) = re.findall(r"\*\*Selection `holdout on Away`\*\*: accuracy\.\n\n(.*?)\n\n", text, re.DOTALL)
    lines = [line[2:-2].split(" | ") for line in section.splitlines()[2:]]
    assert [line[:3] for line in lines] == [
        ["cat1", "1 × 8", "principal components"],
        ["cat1", "1 × 8", "random directions"],
        ["cat2", "2 × 4", "principal components"],
        ["cat2", "2 × 4", "random directions"],
    ]
    assert "floor 20.2" in lines[0][4] and "floor" not in lines[1][4] and lines[0][6] == "", "cat1 has 16 features"
    assert lines[0][7:] != lines[1][7:] and lines[1][8] == "", "the value with all features appears once per arm"
    (section,) = re.findall(
        r"\*\*Contrasts `holdout on Away`\*\*: (.*?)\n\n.*?\n\| cat2 \| 2 × 4 \| random(.*?)\n", text, re.DOTALL
    )
    assert "cat1 at the same width" in section[0]
    assert [bool(cell.strip()) for cell in section[1].split("|")[2:]] == [True, True, False, True, False, False]


def test_the_latex_has_a_label_and_two_tabulars(rows, compared):
    text = tex_text(width_table(rows, DATA_SETS, compared, "width"))
    assert r"\label{tab:width}" in text and "principal components" in text and text.count(r"\begin{tabular}") == 2


def test_the_figure_has_a_curve_per_arm_and_method(rows, compared, monkeypatch):
    drawn = []
    look = figures._look
    monkeypatch.setattr(
        figures, "_look", lambda curve, curves: drawn.append((curve.arm.of, curve.method)) or look(curve, curves)
    )
    svg = figures.width_figure(rows, DATA_SETS, style_of({"width_per_panel": 2.0, "height": 2.0}), compared)
    root = xml.etree.ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert set(drawn) == {(name, method) for name in ("cat1", "cat2") for method in (None, "pca", "random")}
    assert svg == figures.width_figure(rows, DATA_SETS, style_of({"width_per_panel": 2.0, "height": 2.0}), compared)


def test_a_table_without_floors_or_a_second_arm_has_a_figure():
    arms = ARMS[:3]
    made = [Row(each, 1, {(d.name, s): Summary(50.0, None, 1) for d in DATA_SETS for s in SELECTIONS}) for each in arms]
    found = compared_alike(ACCURACIES, HITS, arms, DATA_SETS, References({}, {}, {}), "cat1")
    assert not found.rows
    assert "Contrasts" not in markdown_text(width_table(made, DATA_SETS, found, "width"))
    assert figures.width_figure(made, DATA_SETS, style_of({"width_per_panel": 2.0, "height": 2.0}), found)


# --- notes of other tables ---


def words(notes) -> list[str]:
    return [phrase_text(note, str, str, str) for note in notes]


def test_a_note_calls_the_accuracy_of_reduced_arms_a_lower_bound():
    (note,) = words(arm_notes([arm(1), arm(1, "pca", 4), arm(2, "pca", 4)]))
    assert note.startswith(
        "cat1_pca4, cat2_pca4: features reduced to 4 principal components, so the accuracy is a lower bound"
    )
    (note,) = words(arm_notes([arm(1, "random", 4)]))
    assert note.startswith("cat1_random4: features reduced to 4 random directions, so the accuracy is a lower bound")


def test_a_note_has_the_cost_of_a_wider_network():
    base, same = (arm_of(name=name, members=1, steps=100, macs=2e6) for name in ("cat1", "same"))
    wide = arm_of(name="wide", members=2, steps=20, macs=3e6)
    direct = arm_of(name="direct", members=1, steps=None, transfer="direct", macs=3e6)
    (note,) = words(cost_notes([base, same, wide, direct], "cat1"))
    assert note == (
        "wide: 3.00M multiply-adds per image in one network, 1.50 × those in cat1; over all steps 0.60 × as many."
    )
    assert not cost_notes([arm_of(name="cat1", members=1, steps=100)], "cat1")
