"""Table, notes and figure with arms that are fine-tuned or trained from scratch, in addition to probed arms."""

import csv
import io
import xml.etree.ElementTree
from dataclasses import replace

import pyarrow
import pytest

from tests.support.tables import arm_of, data_sets_of, style_of
from workflow_scripts.timecat.probing.files import write_metrics
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables import reading
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_table
from workflow_scripts.timecat.tables.figures import accuracies as figures
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, Row, Summary
from workflow_scripts.timecat.tables.notes import arm_notes
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text
from workflow_scripts.timecat.tables.writers.text import phrase_text

DATA_SETS = data_sets_of([{"name": "a", "title": "A", "in_distribution": False}])
STYLE = style_of({"width_per_panel": 3.0, "height": 2.0})
PROBED = arm_of(name="cat2", members=2, steps=4000, transfer="probe")
TUNED = arm_of(name="cat2_tuned", members=2, steps=4000, transfer="finetune")
DIRECT = arm_of(name="scratch", members=2, steps=None, transfer="direct")


def rows(*arms) -> list[AccuracyRow]:
    summaries = {("a", selection): Summary(50.0, None, 1) for selection in SELECTIONS}
    return [Row(each, 1, summaries) for each in arms]


def notes(*arms: Arm) -> list[str]:
    return [phrase_text(note, str, str, str) for note in arm_notes(arms)]


def test_the_csv_leaves_the_steps_of_direct_training_empty():
    lines = list(csv.DictReader(io.StringIO(csv_text(accuracy_records(rows(PROBED, TUNED, DIRECT), DATA_SETS)))))
    assert [(line["steps_per_member"], line["total_steps"]) for line in lines] == [("4000", "8000")] * 2 + [("", "")]
    assert [line["a"] for line in lines] == ["50.00"] * 3


def test_markdown_and_latex_describe_each_way_of_transfer():
    """An arm without pretraining has a dash in place of steps."""
    table = accuracy_table(rows(PROBED, TUNED, DIRECT), DATA_SETS)
    text = markdown_text(table)
    assert (
        text.count("| cat2\\_tuned | 2 × 4,000 | 8,000 | 1 |") == 2 and text.count("| scratch | 2 × – | – | 1 |") == 2
    )
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- **cat2**: the backbones are frozen, and a probe is trained on their concatenated features.",
        "- **cat2\\_tuned**: fine-tuning of the backbones on the target, together with one linear layer on their "
        "concatenated features. The steps are those of pretraining.",
        "- **scratch**: direct training of the same network from scratch on the target alone. It has no pretraining, so "
        "no steps are given (–).",
    ]
    tex = tex_text(table)
    assert tex.count(r"scratch & 2 $\times$ -- & -- & 1 &") == 2 and "–" not in tex
    assert r"cat2\_tuned: fine-tuning of the backbones" in tex


def test_a_table_of_probed_arms_has_no_note_on_transfer():
    assert notes(PROBED, replace(PROBED, name="cat4")) == []
    assert "\n- " not in markdown_text(accuracy_table(rows(PROBED), DATA_SETS))
    (note,) = notes(DIRECT, replace(DIRECT, name="other"))
    assert note.startswith("scratch, other: direct")


def test_the_long_metrics_of_an_arm_without_steps_have_null_steps(tmp_path):
    line = {"replicate": 0, "members": [2, 3], "weight_decay": 0.1, "fit": "full", "epoch": 1, "split": "evaluation"}
    write_metrics(tmp_path / "cell.parquet", [line | {"top1": 1.0, "top5": 2.0, "loss": 3.0}])
    arms = [PROBED, DIRECT]
    cells = {(each.name, "a"): reading.read_probe(tmp_path / "cell.parquet", each) for each in arms}
    metrics = reading.metrics_table(cells, arms)
    assert metrics["steps"].to_pylist() == [4000, None] and metrics["steps"].type == pyarrow.int64()


@pytest.mark.parametrize("arms", [[DIRECT], [PROBED, TUNED, DIRECT], [TUNED, replace(TUNED, members=4)]])
def test_the_figure_can_be_drawn_for_arms_that_are_not_probed(arms):
    svg = figures.members_figure(rows(*arms), DATA_SETS, STYLE)
    xml.etree.ElementTree.fromstring(svg.decode())


def test_labels_name_the_way_of_transfer_if_arms_differ_in_it():
    everything = {"probe", "finetune", "direct"}
    assert figures._label(PROBED, {"probe"}) == "2\n4k"
    assert [figures._label(each, everything) for each in (PROBED, TUNED, DIRECT)] == [
        "2\n4k\np",
        "2\n4k\nf",
        "2\n–\nd",
    ]
    assert figures.LETTERS == "p: probe, f: finetune, d: direct, r: reweight"


def test_notes_name_changed_training_and_published_weights():
    changed = replace(DIRECT, training={"epochs": 8, "lr_milestones": [5, 6]})
    imported = replace(PROBED, pretrained_on="other images")
    said = notes(changed, imported)
    assert "scratch: trained with epochs 8, lr_milestones [5, 6]." in said
    assert "cat2: published weights, pretrained on other images." in said
