"""Arms that are fine-tuned or trained from nothing stand in the table, its notes and the figure beside the probed ones."""

import csv
import io
import xml.etree.ElementTree

import pyarrow
import pytest

from workflow_scripts.timecat.probing.files import write_metrics
from workflow_scripts.timecat.tables import accuracies as tables
from workflow_scripts.timecat.tables import arms as table_arms
from workflow_scripts.timecat.tables import tex as table_tex
from workflow_scripts.timecat.tables.figures import accuracies as figures

DATA_SETS = [{"name": "a", "title": "A", "in_distribution": False}]
STYLE = {"width_per_panel": 3.0, "height": 2.0}
PROBED = {"name": "cat2", "members": 2, "steps": 4000, "transfer": "probe"}
TUNED = {"name": "cat2_tuned", "members": 2, "steps": 4000, "transfer": "finetune"}
DIRECT = {"name": "scratch", "members": 2, "steps": None, "transfer": "direct"}


def rows(*arms) -> list[tables.Row]:
    summaries = {("a", selection): tables.Summary(50.0, None, 1) for selection in tables.SELECTIONS}
    return [tables.Row(arm, 1, summaries) for arm in arms]


def test_csv_leaves_steps_that_there_are_none_of_empty():
    lines = list(csv.DictReader(io.StringIO(tables.csv_text(rows(PROBED, TUNED, DIRECT), DATA_SETS))))
    assert [(line["steps_per_member"], line["total_steps"]) for line in lines] == [("4000", "8000")] * 2 + [("", "")]
    assert [line["a"] for line in lines] == ["50.00"] * 3


def test_markdown_and_tex_show_a_dash_and_say_what_each_way_is():
    text = tables.markdown_text(rows(PROBED, TUNED, DIRECT), DATA_SETS)
    assert (
        text.count("| cat2\\_tuned | 2 × 4,000 | 8,000 | 1 |") == 2 and text.count("| scratch | 2 × – | – | 1 |") == 2
    )
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- **cat2**: frozen backbones, a probe on their concatenated features.",
        "- **cat2\\_tuned**: fine-tuned, that is, the backbones are trained on the target as well, side by side with one "
        "linear layer on their concatenated features; the steps are those of pretraining.",
        "- **scratch**: direct, that is, the same network trained on the target alone from a fresh start; there is no "
        "pretraining, hence no steps (–).",
    ]
    tex = table_tex.tex_text(rows(PROBED, TUNED, DIRECT), DATA_SETS)
    assert tex.count(r"scratch & 2 $\times$ -- & -- & 1 &") == 2 and "–" not in tex
    assert r"cat2\_tuned: fine-tuned, that is" in tex


def test_a_study_of_probes_needs_no_note():
    assert table_arms.notes(rows(PROBED, PROBED | {"name": "cat4"}), str) == []
    assert "\n- " not in tables.markdown_text(rows(PROBED), DATA_SETS)
    (note,) = table_arms.notes(rows(DIRECT, DIRECT | {"name": "other"}), str)
    assert note.startswith("scratch, other: direct")


def test_metrics_of_an_arm_without_steps(tmp_path):
    line = {"replicate": 0, "members": [2, 3], "weight_decay": 0.1, "fit": "full", "epoch": 1, "split": "evaluation"}
    write_metrics(tmp_path / "cell.parquet", [line | {"top1": 1.0, "top5": 2.0, "loss": 3.0}])
    arms = [PROBED, DIRECT]
    cells = {(arm["name"], "a"): tables.read_probe(tmp_path / "cell.parquet", arm) for arm in arms}
    metrics = tables.metrics_table(cells, arms)
    assert metrics["steps"].to_pylist() == [4000, None] and metrics["steps"].type == pyarrow.int64()


@pytest.mark.parametrize("arms", [[DIRECT], [PROBED, TUNED, DIRECT], [TUNED, TUNED | {"members": 4}]])
def test_figure_of_arms_that_are_transferred_otherwise(arms):
    svg = figures.members_figure(rows(*arms), DATA_SETS, STYLE)
    xml.etree.ElementTree.fromstring(svg.decode())


def test_labels_of_the_figure():
    everything = {"probe", "finetune", "direct"}
    assert figures._label(PROBED, {"probe"}) == "2\n4k"
    assert [figures._label(arm, everything) for arm in (PROBED, TUNED, DIRECT)] == [
        "2\n4k\np",
        "2\n4k\nf",
        "2\n–\nd",
    ]
    assert figures.LETTERS == "p: probe, f: finetune, d: direct, r: reweight"


def test_what_an_arm_changes_and_what_its_weights_are_is_noted():
    changed = DIRECT | {"training": {"epochs": 8, "lr_milestones": [5, 6]}}
    imported = PROBED | {"pretrained_on": "other images"}
    notes = table_arms.notes(rows(changed, imported), str)
    assert "scratch: trained with epochs 8, lr_milestones [5, 6]." in notes
    assert "cat2: published weights, pretrained on other images." in notes
