"""Stages tabulate_arms and tabulate_grid: tables and figures of arms beyond table 2."""

import csv
import io
import json
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from tests.support.settings import backbone
from tests.support.tables import arm_of, arms_of, data_sets_of, style_of, write_predictions_of
from workflow_scripts.timecat.features.members import feature_digests
from workflow_scripts.timecat.probing.files import write_metrics
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_table
from workflow_scripts.timecat.tables.figures import accuracies as members_figures
from workflow_scripts.timecat.tables.figures import arms as arms_figures
from workflow_scripts.timecat.tables.figures.grid import grid_figure
from workflow_scripts.timecat.tables.model import AccuracyRow, Row, Summary
from workflow_scripts.timecat.tables.reading import read_probe
from workflow_scripts.timecat.tables.table import parameters_text
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text

ROOT = Path(__file__).parents[3]
DATA_SETS = [
    {"name": "home", "title": "Home", "in_distribution": True},
    {"name": "away", "title": "Away", "in_distribution": False},
]
STYLE = {"width_per_panel": 2.0, "height": 2.0}
SMALL = {"architecture": "small_residual", "width": 8, "blocks": 3}
ORIGINAL = {
    "name": "original",
    "members": 1,
    "steps": 360,
    "transfer": "probe",
    "settings": SMALL,
    "published": {"away": 37.91},
}
WIDE = {
    "name": "wide",
    "members": 1,
    "steps": 90,
    "transfer": "probe",
    "settings": SMALL | {"width": 16},
    "backbone": {"name": "res_16", "changes": {"label_smoothing": 0.0}},
}
COPIES = {"name": "copies", "members": 4, "steps": 360, "transfer": "probe", "settings": SMALL, "one_seed": True}
SNAPSHOTS = COPIES | {"name": "snapshots", "steps": [64, 80, 160, 1360], "against": ["original", "copies"]}
ARMS = [ORIGINAL, WIDE, COPIES, SNAPSHOTS]


def write_cell(path: Path, arm: dict, replicates: int, top1: float) -> None:
    """Write the metrics of a cell whose replicates reach top1, top1 + 1, ... under both selections."""
    lines = [
        {
            "replicate": replicate,
            "members": [replicate] * arm["members"],
            "weight_decay": 0.1,
            "fit": fit,
            "epoch": 1,
            "split": split,
            "top1": top1 + replicate,
            "top5": 99.0,
            "loss": 1.0,
        }
        for replicate in range(replicates)
        for fit, split in (("full", "evaluation"), ("nine_tenths", "heldout"))
    ]
    write_metrics(path, lines)


def run(stage: str, folder: Path, arms, outputs, *options: str) -> dict[str, bytes]:
    """Run a stage on cells of arms and return its outputs. The first arm has one replicate, the others have three."""
    cells = [{"arm": arm["name"], "data_set": data_set["name"]} for arm in arms for data_set in DATA_SETS]
    paths = [folder / f"{number}.parquet" for number in range(len(cells))]
    for number, path in enumerate(paths):
        arm = number // len(DATA_SETS)
        write_cell(path, arms[arm], 3 if arm else 1, 40 + 10 * arm + number % len(DATA_SETS))
        write_predictions_of(path.with_suffix(".predictions.parquet"), read_probe(path, arms_of(arms)[arm]))
    values = {"cells": cells, "arms": arms, "data-sets": DATA_SETS, "style": STYLE}
    command = [sys.executable, "-m", f"workflow_scripts.{stage}", "--probes", *map(str, paths), *options]
    for name, value in values.items():
        command += [f"--{name}", json.dumps(value)]
    for output in outputs:
        command += [f"--{output}", str(folder / output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {output: (folder / output).read_bytes() for output in outputs}


@pytest.fixture(scope="module")
def table1(tmp_path_factory) -> dict[str, bytes]:
    """Outputs of tabulate_arms."""
    folder = tmp_path_factory.mktemp("table1")
    predictions = [str(folder / f"{number}.predictions.parquet") for number in range(len(ARMS) * len(DATA_SETS))]
    options = ("--table", "table1", "--image-size", "32", "--baseline", "wide", "--predictions", *predictions)
    outputs = ("csv", "contrasts", "markdown", "tex", "svg")
    return run("tabulate_arms", folder, ARMS, outputs, *options)


def test_the_csv_has_steps_and_published_figures(table1):
    lines = list(csv.DictReader(io.StringIO(table1["csv"].decode())))
    assert list(lines[0]) == [
        *("method", "parameters", "members", "steps_per_member", "total_steps", "replicates"),
        *("home", "home_std", "home_holdout", "home_holdout_std"),
        *("away", "away_std", "away_holdout", "away_holdout_std", "away_published"),
    ]
    steps = [(line["members"], line["steps_per_member"], line["total_steps"]) for line in lines]
    # If members come from one run, the budget is the run's budget.
    assert steps == [("1", "360", "360"), ("1", "90", "90"), ("4", "360", "360"), ("4", "64 80 160 1360", "1360")]
    assert [line["away_published"] for line in lines] == ["37.91", "", "", ""]
    assert [line["away"] for line in lines] == ["41.00", "52.00", "62.00", "72.00"], (
        "published figures do not replace measured ones"
    )
    assert [line["home_std"] for line in lines] == ["", "1.00", "1.00", "1.00"]


def test_the_number_of_parameters_agrees_with_the_built_networks(table1):
    """The number counts all members, without a classifier."""
    from workflow_scripts.timecat.backbones.build import build_backbone

    lines = list(csv.DictReader(io.StringIO(table1["csv"].decode())))
    for line, arm in zip(lines, ARMS):
        own = sum(parameter.numel() for parameter in build_backbone(backbone(**arm["settings"])).parameters())
        assert int(line["parameters"]) == arm["members"] * own
    assert int(lines[1]["parameters"]) == pytest.approx(4 * int(lines[0]["parameters"]), rel=0.03)


def test_markdown_and_latex_have_rows_and_notes(table1):
    text = table1["markdown"].decode()
    title = (
        "| method | parameters | members × steps | total steps | n | Home (in distribution) | Away | Away (published) |"
    )
    assert text.count(title) == 2 and text.count("\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n") == 2
    assert text.count("| original | 19.7k | 1 × 360 | 360 | 1 | 40.00 | 41.00 | 37.91 |") == 2
    assert text.count("| snapshots | 78.8k | 4 × (64, 80, 160, 1,360) | 1,360 | 3 | **71.00** ± 1.00 |") == 2
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- **original**: published figures, taken from the config, come from their authors' data, recipe and probe.",
        "- **wide**: backbone **res\\_16**, pretrained with **label\\_smoothing 0.0**.",
        "- **copies**: the members are copies of a checkpoint of one run, and the total steps are those of that run.",
        "- **snapshots**: the members are snapshots of one run, and the total steps are those of that run.",
        *(
            f"- **{name}**: 0.99M multiply-adds per image in one network, 0.28 × those in **wide**; over all steps {times} × as many."
            for name, times in (("original", "1.13"), ("copies", "1.13"), ("snapshots", "4.25"))
        ),
    ]
    tex = table1["tex"].decode()
    assert r"\label{tab:table1}" in tex and r"\begin{tabular}{lrrrrrrr}" in tex
    assert tex.count(r"original & 19.7k & 1 $\times$ 360 & 360 & 1 & 40.00 & 41.00 & 37.91 \\") == 2
    assert r" &  &  &  &  & \emph{in distribution} &  & \emph{published} \\" in tex
    assert r"wide: backbone res\_16, pretrained with label\_smoothing 0.0." in tex


def test_contrasts_with_arms_other_than_the_baseline_have_a_section(table1):
    """The arm original has one replicate. Each pair of replicates of snapshots and copies is ten points apart."""
    lines = [line for line in csv.DictReader(io.StringIO(table1["contrasts"].decode())) if line["kind"] == "against"]
    told = [(line["arm"], line["baseline"], line["mean"]) for line in lines if line["data_set"] == "away"]
    assert told == [("snapshots", "original", "30.000"), ("snapshots", "copies", "10.000")] * len(SELECTIONS)
    markdown, tex = table1["markdown"].decode(), table1["tex"].decode()
    for selection in SELECTIONS:
        title = f"**Further contrasts `{selection}`**: accuracy minus that of the arm in the second column, in percentage points."
        after = markdown.split(title)[1].splitlines()[2:6]
        assert after[0] == "| method | compared with | seeds | n | Home (in distribution) | Away |"
        assert after[1] == "| --- | --- | ---: | ---: | ---: | ---: |"
        assert [line.rsplit(" (", 2)[0].split(" | ")[:2] for line in after[2:]] == [
            ["| snapshots", "original"],
            ["| snapshots", "copies"],
        ]
        assert rf"\multicolumn{{6}}{{l}}{{\emph{{further contrasts {selection}}}}} \\" in tex
        assert (
            f"Further contrasts {selection}: accuracy minus that of the arm in the second column, in percentage points."
            in tex
        )
    assert tex.count(r"\begin{tabular}{llrrrr}") == 1
    assert tex.count(r"snapshots & copies & 3 & 3 & +10.00") == len(SELECTIONS)


def test_a_table_may_have_published_figures_without_parameters():
    summaries = {("away", selection): Summary(50.0, None, 1) for selection in SELECTIONS}
    rows = [Row(arm_of(name="cat1", members=1, steps=8, published={"away": 78.4}), 1, summaries)]
    data_sets = data_sets_of(DATA_SETS[1:])
    header, line = csv_text(accuracy_records(rows, data_sets)).splitlines()
    table = accuracy_table(rows, data_sets)
    assert header.endswith("away_holdout_std,away_published") and line.endswith(",50.00,,78.4")
    assert "parameters" not in header and "| 78.4 |" in markdown_text(table)
    assert r"& 50.00 & 78.4 \\" in tex_text(table) and "No mean is bold" in tex_text(table)


def test_figures_label_arms_with_members_steps_and_parameters():
    assert arms_figures._label(arm_of(**SNAPSHOTS, parameters=81_000)) == "snapshots\n4 × 64…1360, 81.0k"
    assert arms_figures._label(arm_of(**ORIGINAL)) == "original\n1 × 360"
    assert members_figures._label(arm_of(**SNAPSHOTS), {"probe"}) == "4\n64…1360"
    assert parameters_text(93_907_072) == "93.9M"


def rows_of(arms, std) -> list[AccuracyRow]:
    found = {(data_set["name"], selection): Summary(50.0, std, 2) for data_set in DATA_SETS for selection in SELECTIONS}
    return [Row(each, 2, found) for each in arms_of(arms)]


def drawn(figure, arms, std) -> bytes:
    """Return the SVG of a figure of arms with this standard deviation."""
    return figure(rows_of(arms, std), data_sets_of(DATA_SETS), style_of(STYLE))


@pytest.mark.parametrize("std", [None, 1.0])
def test_the_figure_of_arms_shows_published_figures_if_there_are_any(std):
    without, published = ({key: value for key, value in ORIGINAL.items() if key != "published"}, ORIGINAL)
    both = [drawn(arms_figures.arms_figure, [each, WIDE], std) for each in (without, published)]
    for svg in both:
        xml.etree.ElementTree.fromstring(svg.decode())
    assert both[0] != both[1]
    assert both[1] == drawn(arms_figures.arms_figure, [ORIGINAL, WIDE], std)


def grid_arms() -> list[dict]:
    """Return arms with 1 and 2 members at two numbers of steps, with one pair missing."""
    pairs = [(1, 80), (1, 360), (2, 80)]
    named = [{"name": f"grid{members}x{steps}", "members": members, "steps": steps} for members, steps in pairs]
    return [arm | {"transfer": "probe", "in_table": arm["steps"] == 360} for arm in named]


def test_the_grid_has_a_line_per_arm(tmp_path):
    outputs = run("tabulate_grid", tmp_path, grid_arms(), ("csv", "svg"))
    lines = list(csv.DictReader(io.StringIO(outputs["csv"].decode())))
    assert [(line["members"], line["steps_per_member"], line["replicates"], line["away"]) for line in lines] == [
        ("1", "80", "1", "41.00"),
        ("1", "360", "3", "52.00"),
        ("2", "80", "3", "62.00"),
    ]
    xml.etree.ElementTree.fromstring(outputs["svg"].decode())


def test_the_heat_map_shows_every_cell_once():
    """Cells of arms of table 2 have a frame."""

    def patches(arms) -> int:
        return drawn(grid_figure, arms, 1.0).count(b'id="patch_')

    one, *_ = arms = grid_arms()
    unframed = [arm | {"in_table": False} for arm in arms]
    panels = len(DATA_SETS) * len(SELECTIONS)
    assert patches(unframed) == patches([one]) + 2 * panels, (
        "one patch per panel and arm, and none for the missing pair"
    )
    assert patches(arms) > patches(unframed) + panels, "one frame per panel, and one in the legend"


def test_feature_digests_of_members_with_one_seed_have_different_names(tmp_path):
    """Snapshots of one run have the same seed, so they need numbered names. Other members keep their names."""
    import numpy as np

    for step in (4, 8):
        (tmp_path / str(step)).mkdir()
        np.save(tmp_path / str(step) / "evaluation.center.npy", np.full((2, 3), step, np.float16))
    folders = [tmp_path / "4", tmp_path / "8"]
    apart = feature_digests(folders, [[7, 7]])
    assert list(apart) == ["0/7.0/evaluation.center.npy", "0/7.1/evaluation.center.npy"]
    assert len(set(apart.values())) == 2
    assert list(feature_digests(folders, [[7, 9]])) == ["0/7/evaluation.center.npy", "0/9/evaluation.center.npy"]
