"""Tables of gaps: metrics of predictions, direct minus transferred, intervals, and what is written of them."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_ind

from tests.support.tables import arm_of, arms_of, data_sets_of
from workflow_scripts import tabulate_gap
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables import gap
from workflow_scripts.timecat.tables.figures.gap import _looks
from workflow_scripts.timecat.tables.model import Interval
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import short_markdown_text

ARMS = [
    {"name": "long", "members": 1, "steps": 8, "transfer": "probe", "published": {"a": 81.5}},
    {"name": "four", "members": 4, "steps": 2, "transfer": "probe"},
    {"name": "alone", "members": 1, "steps": None, "transfer": "direct"},
]
COMPONENTS = [{"name": name, "title": f"part {name}", "in_distribution": False, "views": 1} for name in "ab"]
PERCENT = {  # replicate by replicate
    ("long", "a"): [70, 80, 75],
    ("long", "b"): [50, 60, 55],
    ("four", "a"): [90],
    ("four", "b"): [70],
    ("alone", "a"): [95, 100],
    ("alone", "b"): [65, 70],
}


def both(values) -> dict[str, list[float]]:
    """The same under both selections, but for a shift."""
    return {"paper": [value + 1.0 for value in values], "holdout": [float(value) for value in values]}


def rows(values=PERCENT) -> dict:
    made = gap.gap_rows({cell: both(own) for cell, own in values.items()}, arms_of(ARMS), ["a", "b"])
    return {(row.arm.name, row.component): row for row in made}


def test_the_gap_is_direct_minus_transferred_with_welchs_interval():
    row = rows()["long", "a"]
    assert row.gaps["holdout"].mean == pytest.approx(97.5 - 75) == row.gaps["paper"].mean
    expected = ttest_ind([95, 100], [70, 80, 75], equal_var=False).confidence_interval(0.95)
    assert (row.gaps["holdout"].low, row.gaps["holdout"].high) == pytest.approx((expected.low, expected.high))
    assert rows()["alone", "a"].gaps == {}, "of the direct arm itself there is none"
    assert rows()["four", "a"].gaps["holdout"] == Interval(7.5, None, None), "one replicate has no spread"


def test_replicates_that_agree_have_a_gap_without_width():
    assert gap.welch([5.0, 5.0], [3.0, 3.0]) == Interval(2.0, 2.0, 2.0)


def test_the_mean_over_components_is_taken_replicate_by_replicate():
    summary = rows()["long", "mean"].summaries["holdout"]
    assert (summary.mean, summary.std, summary.n) == (65, 5, 3)
    expected = ttest_ind([80, 85], [60, 70, 65], equal_var=False).confidence_interval(0.95)
    own = rows()["long", "mean"].gaps["holdout"]
    assert (own.mean, own.low, own.high) == pytest.approx((17.5, expected.low, expected.high))


def test_an_arm_is_compared_with_direct_training_of_its_own_size():
    arms, four = arms_of(ARMS), arm_of(name="alone4", members=4, steps=None, transfer="direct")
    assert gap.reference_of(arms[1], [*arms, four]).name == "alone4"
    assert gap.reference_of(arms[0], [*arms, four]).name == "alone"
    assert gap.reference_of(arms[1], arms).name == "alone"
    with pytest.raises(UserError, match="needs an arm with .transfer: direct."):
        gap.reference_of(arms[0], arms[:2])


def test_replicates_must_be_the_same_on_all_components():
    with pytest.raises(UserError, match=r"arm 'long' has \[2, 3\] replicates on different components"):
        rows(PERCENT | {("long", "b"): [50, 60]})


def test_the_csv_has_a_line_for_each_arm_component_and_selection():
    lines = list(csv.DictReader(io.StringIO(csv_text(gap.gap_records(list(rows().values()), "mcc")))))
    assert len(lines) == 3 * 3 * 2
    first = next(line for line in lines if line["selection"] == "holdout")
    assert (first["method"], first["component"], first["mcc"], first["mcc_std"]) == ("long", "a", "75.000", "5.000")
    assert (first["gap"], first["mcc_published"], first["replicates"]) == ("22.500", "81.5", "3")
    alone = next(line for line in lines if line["method"] == "alone")
    assert first["compared_with"] == "alone"
    assert alone["gap"] == alone["steps_per_member"] == alone["compared_with"] == "" and alone["transfer"] == "direct"


def test_the_table_for_readers():
    table = gap.gap_table(rows().values(), data_sets_of(COMPONENTS), "top-1 accuracy (%)")
    text = short_markdown_text(table)
    lines = text.splitlines()
    assert lines[0] == "| method | members × steps | n | part a | part b | mean | gap (95 %) |"
    assert lines[2].startswith("| long | 1 × 8 | 3 | 75.00 ± 5.00 (81.5) | 55.00 ± 5.00 | 65.00 ± 5.00 | +17.50 (")
    assert lines[3] == "| four | 4 × 2 | 1 | 90.00 | 70.00 | 80.00 | +2.50 |"
    assert lines[4].endswith("| 82.50 ± 3.54 |  |") and "Welch" in text and "direct, that is" in text
    assert "Gap: direct (`alone`) minus transferred" in text


def test_direct_arms_look_alike_in_colour_and_not_in_shape():
    arms = [*ARMS, {"name": "shorter", "members": 1, "steps": None, "transfer": "direct"}]
    looks = _looks(arms_of(arms))
    assert len(set(looks.values())) == len(arms) and looks["alone"][1] != looks["shorter"][1]


@pytest.fixture
def command_line(tmp_path) -> list[str]:
    """Of the stage, on predictions that it finds."""
    paths, cells = [], []
    for (arm, component), values in PERCENT.items():
        columns = {"selection": [], "replicate": [], "label": [], "predicted": []}
        for selection in ("paper", "holdout"):
            for replicate, percent in enumerate(values):
                columns["selection"] += [selection] * 20
                columns["replicate"] += [replicate] * 20
                columns["label"] += [row % 2 for row in range(20)]
                columns["predicted"] += [(row % 2) ^ (row >= percent // 5) for row in range(20)]
        paths.append(str(tmp_path / f"{arm}.{component}.parquet"))
        pq.write_table(pa.table(columns), paths[-1])
        cells.append({"arm": arm, "data_set": component})
    options = {"cells": cells, "arms": ARMS, "data-sets": COMPONENTS, "style": {"width_per_panel": 2, "height": 2}}
    outputs = {"metric": "accuracy", **{name: tmp_path / f"gap.{name}" for name in ("csv", "markdown", "svg")}}
    told = [text for name, value in options.items() for text in (f"--{name}", json.dumps(value))]
    return [
        *told,
        *(text for name, value in outputs.items() for text in (f"--{name}", str(value))),
        "--predictions",
        *paths,
    ]


def test_the_stage(command_line, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tabulate_gap", *command_line])
    tabulate_gap.main()
    lines = list(csv.DictReader((tmp_path / "gap.csv").open()))
    made = {(line["method"], line["component"]): line for line in lines}
    assert (made["four", "a"]["accuracy"], made["four", "mean"]["accuracy"]) == ("90.000", "80.000")
    assert (made["long", "a"]["accuracy"], made["long", "a"]["accuracy_std"]) == ("75.000", "5.000")
    svg = (tmp_path / "gap.svg").read_bytes()
    ElementTree.fromstring(svg)
    tabulate_gap.main()
    assert (tmp_path / "gap.svg").read_bytes() == svg
    path = tmp_path / "long.a.parquet"
    pq.write_table(pq.read_table(path).slice(0, 60), path)  # one selection alone
    with pytest.raises(UserError, match=f"{path}: has no row of selection holdout; delete it and run again"):
        tabulate_gap.main()


def test_mixtures_of_cues():
    """In a component its own family always shows the class, and another one as often as `agreement` and chance say."""
    from dataclasses import replace

    from workflow_scripts.timecat.images.datasets.cues import CLASSES, CuesSettings, cues_split

    settings = CuesSettings(kind="cues", seed=1, rows={"train": 3000}, agreement=0.5, components=None, label="class")
    mixture = cues_split(replace(settings, components=3), "train")
    component = mixture.groups["component"]
    assert np.all(np.bincount(component) > 900) and len(np.bincount(component)) == 3
    for family in range(4):
        agrees = mixture.groups[f"cue{family}"] == mixture.labels
        assert family == 3 or agrees[component == family].all()
        assert agrees[component != family].mean() == pytest.approx(0.5 + 0.5 / CLASSES, abs=0.03)
    alone = cues_split(settings, "train")
    assert "component" not in alone.groups
    assert np.array_equal(alone.groups["cue3"], mixture.groups["cue3"]), "the same draws as before"


CONFIG = {
    "backbone": "small",
    "source": "mixture",
    "targets": ["mixture"],
    "data_sets": {
        "mixture": {"kind": "cues", "components": 2, "rows": {"train": 100, "evaluation": 50}},
        "part": {"kind": "part", "of": "mixture", "where": {"component": [1]}},
    },
    "backbones": {"small": {"architecture": "small_residual"}},
    "pretrain": {"seeds": [1, 2]},
    "arms": [{"name": "cat1", "members": 1, "steps": 4}],
    "gap": {"targets": ["part"], "arms": ["cat1", {"name": "alone", "members": 1, "transfer": "direct"}]},
}


def test_what_a_study_tells_the_stage():
    made, w = Study(read_config(CONFIG, [])), TableKey("gap")
    assert made.inputs.predictions(w) == [
        "results/probes/mixture/part/cat1.predictions.parquet",
        "results/transfers/mixture/part/alone.predictions.parquet",
    ]
    assert [arm["transfer"] for arm in json.loads(made.table_params.rows(w))] == ["probe", "direct"]
    assert made.table_params.metric(w) == "accuracy" and made.patterns["gap_table"] == "gap|genomics"
    with pytest.raises(UserError, match="has no block `genomics`; add it to the config"):
        made.table_params.metric(TableKey("genomics"))


def test_mistakes_of_gaps_are_said():
    with pytest.raises(
        UserError, match="`data_sets.mixture.components`|components: with `label: cue0` no glyph agrees"
    ):
        mixture = CONFIG["data_sets"]["mixture"] | {"label": "cue0"}
        read_config(CONFIG | {"data_sets": CONFIG["data_sets"] | {"mixture": mixture}}, [])
    with pytest.raises(UserError, match="`gap`: it needs an arm with `transfer: direct`"):
        read_config(CONFIG | {"gap": {"targets": ["part"], "arms": ["cat1"]}}, [])
