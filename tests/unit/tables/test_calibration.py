"""Stage calibration: its tables and figure for given predictions, and the inputs that it refuses."""

import csv
import dataclasses
import io
import json
import math
import statistics
import sys
import xml.etree.ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_rel

from tests.references.calibration import ece_reference
from tests.support.tables import arms_of, data_sets_of
from workflow_scripts import calibration as stage
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.calibration import measure
from workflow_scripts.timecat.measures.contrasts import Replicate, contrast, holm
from workflow_scripts.timecat.measures.groups import groupings, make_segments
from workflow_scripts.timecat.randomness import key, uniform
from workflow_scripts.timecat.tables import calibration

ARMS = [
    {"name": "cat1", "members": 1, "steps": 450_000, "transfer": "probe"},
    {"name": "cat4", "members": 4, "steps": 100_000, "transfer": "probe"},
    {"name": "scratch", "members": 1, "steps": None, "transfer": "direct"},
]
SEEDS = {"cat1": [[0], [1], [2]], "cat4": [[0, 1, 2, 3]], "scratch": [[0], [1]]}
REPLICATES = {arm: len(seeds) for arm, seeds in SEEDS.items()}
DATA_SETS = [
    {"name": "source", "title": "Source", "in_distribution": True},
    {"name": "few", "title": "Few rows", "in_distribution": False},
]
ROWS = {"source": 240, "few": 20}
CELLS = [{"arm": arm["name"], "data_set": one["name"]} for arm in ARMS for one in DATA_SETS]
N_ARMS = len(ARMS)
SETTINGS = {"bins": 5, "minimum_rows": 25, "depth": 2, "draws": 4}
STYLE = {"width_per_panel": 2.0, "height": 2.0}


def index(name: str) -> pa.Table:
    """Return an index with row numbers from 1000 and six classes, and a group column for the source."""
    rows = np.arange(ROWS[name])
    labels = rows % 6
    columns = {"row": rows + 1000, "label": labels, "class_name": [f"c{label}" for label in labels]}
    columns["source"] = ["made"] * len(rows)
    return pa.table(columns | ({"place": rows % 4} if name == "source" else {}))


def predictions(name: str, arm: str) -> dict[tuple[str, int], dict]:
    """Return columns row, label, predicted and probability, by (selection, replicate)."""
    found, rows = {}, np.arange(ROWS[name])
    for selection in ("paper", "holdout"):
        for replicate in range(REPLICATES[arm]):
            draw = uniform(key(name, arm, selection, replicate), rows)
            p = (0.4 + 0.6 * draw).astype(np.float32)
            p[0] = 1.0
            correct = uniform(key(name, arm, selection, replicate), rows, 1) < p - 0.1
            found[selection, replicate] = {
                "row": rows + 1000,
                "label": rows % 6,
                "predicted": (rows + 1 - correct) % 6,
                "probability": p,
            }
    return found


def write_predictions(path, cells: dict) -> None:
    """Write predictions as a probe does, replicate by replicate."""
    tables = [
        pa.table({"selection": [selection] * len(own["row"]), "replicate": np.full(len(own["row"]), replicate)} | own)
        for (selection, replicate), own in sorted(cells.items(), key=lambda cell: cell[0][1])
    ]
    pq.write_table(pa.concat_tables(tables), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with the indices and the predictions of all cells."""
    path = tmp_path_factory.mktemp("calibration")
    for name in ROWS:
        pq.write_table(index(name), path / f"{name}.index.parquet")
    for cell in CELLS:
        write_predictions(
            path / f"{cell['arm']}.{cell['data_set']}.parquet", predictions(cell["data_set"], cell["arm"])
        )
    return path


def run(folder, made, predicted=None, settings=SETTINGS, data_sets=DATA_SETS, cells=CELLS, drawn=N_ARMS) -> None:
    made.mkdir(exist_ok=True)
    indices = [str(folder / f"{one['name']}.index.parquet") for one in data_sets]
    predicted = predicted or [folder / f"{cell['arm']}.{cell['data_set']}.parquet" for cell in cells]
    values = {"cells": cells, "arms": ARMS, "data-sets": data_sets, "settings": settings, "style": STYLE}
    values["seeds"] = SEEDS
    line = ["stage", "--predictions", *map(str, predicted), "--evaluation-indices", *indices]
    line += ["--train-indices", *indices, *(word for k, v in values.items() for word in (f"--{k}", json.dumps(v)))]
    line += ["--drawn", str(drawn), "--baseline", "cat1", "--contrasts", str(made / "c.contrasts.csv")]
    line += ["--csv", str(made / "c.csv"), "--replicates", str(made / "r.csv"), "--svg", str(made / "c.svg")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", "restored after the test")
        patch.setattr(sys, "argv", line)
        stage.main()


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """Folder of a run's outputs."""
    path = tmp_path_factory.mktemp("made")
    run(folder, path)
    return path


def test_the_figure_has_only_the_data_sets_of_its_arms(folder, tmp_path):
    """The table also has data sets of arms that are not drawn."""
    drawn, other = ARMS[0]["name"], ARMS[1]["name"]
    cells = [{"arm": drawn, "data_set": "source"}, {"arm": other, "data_set": "few"}]
    run(folder, tmp_path / "made", cells=cells, drawn=1)
    svg = xml.etree.ElementTree.fromstring((tmp_path / "made/c.svg").read_text())
    ids = {element.get("id") for element in svg.iter()}
    assert len({name for name in ids if name and name.startswith("axes_")}) == 3
    assert {line["data_set"] for line in lines(tmp_path / "made/c.csv")} == {"source", "few"}


def lines(path) -> list[dict]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_an_arm_may_lack_a_data_set(folder, made, tmp_path):
    """The figure may leave out an arm that the table has."""
    *cells, last = CELLS
    run(folder, tmp_path / "fewer", cells=cells, drawn=len(ARMS) - 1)
    table, whole = lines(tmp_path / "fewer/c.csv"), lines(made / "c.csv")
    assert table == [line for line in whole if (line["method"], line["data_set"]) != tuple(last.values())]
    assert len(lines(tmp_path / "fewer/r.csv")) == len(lines(made / "r.csv")) - 2 * REPLICATES[last["arm"]]
    assert (tmp_path / "fewer/c.svg").read_bytes() != (made / "c.svg").read_bytes()


def test_the_tables_have_each_replicate_and_the_summary_of_all(made):
    table, replicates = lines(made / "c.csv"), lines(made / "r.csv")
    assert len(table) == len(CELLS) * 2 and len(replicates) == 2 * 2 * sum(REPLICATES.values())
    segments = make_segments(240, groupings(index("source"), index("source")), 25, 2)
    for line in table:
        arm, name, selection = line["method"], line["data_set"], line["selection"]
        own = [
            one for one in replicates if (one["method"], one["data_set"], one["selection"]) == (arm, name, selection)
        ]
        assert [one["replicate"] for one in own] == [str(number) for number in range(REPLICATES[arm])]
        assert line["replicates"] == str(len(own)) and line["rows"] == str(ROWS[name])
        for quantity in calibration.QUANTITIES:
            values = [one[quantity] for one in own]
            if (name, quantity) == ("few", "worst_group_accuracy"):
                assert values == [""] * len(own) and line[quantity] == line[f"{quantity}_std"] == ""
                continue
            values = [float(value) for value in values]
            assert float(line[quantity]) == pytest.approx(statistics.mean(values), abs=2e-3)
            assert (line[f"{quantity}_std"] == "") == (len(own) == 1)
            if len(own) > 1:
                assert float(line[f"{quantity}_std"]) == pytest.approx(statistics.stdev(values), abs=2e-3)
        for one, given in zip(own, [predictions(name, arm)[selection, number] for number in range(len(own))]):
            p, y = given["probability"].astype(float), given["predicted"] == given["label"]
            assert float(one["accuracy"]) == pytest.approx(100 * y.mean(), abs=1e-3)
            assert float(one["ece"]) == pytest.approx(100 * ece_reference(p, y, 5), abs=1e-3)
            if name == "source":
                found = measure(np.minimum(p, calibration.NEARLY_ONE), y, given["row"], segments, 5, 4)
                assert [one["worst_group"], one["worst_segment"]] == [found.worst_group, found.worst_segment]
                assert found.worst_group.startswith("place=")
                for quantity in calibration.QUANTITIES:
                    form = ".3g" if quantity in calibration.P_VALUES else ".3f"
                    assert one[quantity] == format(getattr(found, quantity), form)


def test_lines_count_replicates_rows_groups_and_segments(made):
    first = lines(made / "c.csv")[0]
    fixed = {name: first[name] for name in list(first)[:10]}
    assert fixed == {
        "method": "cat1",
        "members": "1",
        "steps_per_member": "450000",
        "total_steps": "450000",
        "data_set": "source",
        "selection": "paper",
        "replicates": "3",
        "rows": "240",
        "groups": "4",
        "segments": "5",
    }
    last = lines(made / "c.csv")[-1]
    assert (last["method"], last["steps_per_member"], last["total_steps"]) == ("scratch", "", "")
    assert (last["groups"], last["segments"]) == ("0", "1")  # no class of the 20 rows has 25


def test_a_probability_that_float32_rounds_to_one_gives_a_finite_error(folder, tmp_path):
    given = predictions("few", "cat4")
    for own in given.values():
        own["probability"] = np.ones(20, np.float32)
    write_predictions(tmp_path / "p.parquet", given)
    table, segments = index("few"), make_segments(20, [], 1, 1)
    found = calibration.measure_cell(tmp_path / "p.parquet", calibration.Evaluation("index", table), segments, 5, 1)
    assert 1000 < found["paper"][0].mce_sigma < 1e6


def test_the_figure_has_three_panels_per_data_set(made):
    svg = xml.etree.ElementTree.fromstring((made / "c.svg").read_text())
    ids = {element.get("id") for element in svg.iter()}
    assert len({name for name in ids if name and name.startswith("axes_")}) == 3 * 2
    assert "date" not in (made / "c.svg").read_text().lower()
    assert sorted(path.name for path in made.iterdir()) == ["c.contrasts.csv", "c.csv", "c.svg", "r.csv"]


def test_data_sets_continue_in_a_second_line_of_panels(folder, tmp_path):
    for number in range(5):
        (tmp_path / f"d{number}.index.parquet").symlink_to(folder / "few.index.parquet")
    data_sets = [{"name": f"d{number}", "title": f"D{number}", "in_distribution": False} for number in range(5)]
    cells = [{"arm": arm["name"], "data_set": one["name"]} for arm in ARMS for one in data_sets]
    run(
        tmp_path,
        tmp_path / "made",
        [folder / f"{cell['arm']}.few.parquet" for cell in cells],
        SETTINGS,
        data_sets,
        cells,
    )
    svg = xml.etree.ElementTree.fromstring((tmp_path / "made/c.svg").read_text())
    ids = {element.get("id") for element in svg.iter()}
    assert len({name for name in ids if name and name.startswith("axes_")}) == 3 * 6  # one panel is empty


def test_two_runs_write_the_same_bytes(made, folder, tmp_path):
    run(folder, tmp_path / "again")
    for name in ("c.csv", "r.csv", "c.contrasts.csv", "c.svg"):
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()


def test_unsuitable_predictions_are_refused(folder, tmp_path):
    """Labels or numbers of replicates differ, or the file is damaged or has too few columns."""
    given = predictions("source", "cat4")
    given["holdout", 0]["label"] = np.roll(given["holdout", 0]["label"], 1)
    write_predictions(tmp_path / "other.parquet", given)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    good = [folder / f"{cell['arm']}.{cell['data_set']}.parquet" for cell in CELLS]
    refused = r"other\.parquet: rows and labels of replicate 0, selection holdout, differ from those of .*source\.index\.parquet"
    with pytest.raises(UserError, match=f"{refused}; delete the predictions and run again"):
        run(folder, tmp_path / "made", [*good[:2], tmp_path / "other.parquet", *good[3:]])
    with pytest.raises(UserError, match=r"bad\.parquet: cannot be read as an output of rule probe, .* run again"):
        run(folder, tmp_path / "made", [tmp_path / "bad.parquet", *good[1:]])
    pq.write_table(pa.table({"row": [1]}), tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad\.parquet: cannot be read as an output of rule probe, .* run again"):
        run(folder, tmp_path / "made", [tmp_path / "bad.parquet", *good[1:]])
    more = "arm 'cat4' on data set 'few': its predictions have 2 replicates, but --seeds has 1; delete the predictions"
    with pytest.raises(UserError, match=more):
        run(folder, tmp_path / "made", [*good[:3], folder / "scratch.few.parquet", *good[4:]])
    assert list((tmp_path / "made").iterdir()) == []


# --- contrasts ---

PAIRED = {  # seeds of each arm's replicates
    "cat1": [(0,), (1,), (2,), (3,)],
    "cat2": [(0, 1), (2, 3), (0, 2), (1, 3)],
    "wide": [(0,), (1,), (2,), (3,)],
}
PLACES = {"cat1": ("home", "near", "far"), "cat2": ("home", "near", "far"), "wide": ("near", "other")}


@pytest.fixture(scope="module")
def measured() -> dict:
    """Measurements of three arms, of which the last lacks data sets of the baseline. Data set `far` has no groups."""
    rows = np.arange(60)
    plain = measure(np.full(60, 0.5), rows % 2, rows, make_segments(60, [], 25, 1), 3, 1)
    found = {}
    for arm, seeds in PAIRED.items():
        for data_set in PLACES[arm]:
            for selection in ("paper", "holdout"):
                for number in range(len(seeds)):
                    draws = 100 * uniform(key(arm, data_set, selection, number), np.arange(len(calibration.COMPARED)))
                    changes = dict(zip(calibration.COMPARED, draws.tolist()))
                    changes |= {"worst_group_accuracy": math.nan} if data_set == "far" else {}
                    own = found.setdefault((arm, data_set), {}).setdefault(selection, [])
                    own.append(dataclasses.replace(plain, **changes))
    return found


def contrasts_of(measured):
    arms = arms_of([{"name": name, "members": 1, "steps": 8, "transfer": "probe"} for name in PAIRED])
    data_sets = data_sets_of(
        [{"name": name, "title": name, "in_distribution": name == "home"} for name in ("home", "near", "far", "other")]
    )
    return calibration.calibration_contrasts(measured, arms, data_sets, PAIRED, "cat1")


def test_contrasts_need_a_quantity_of_both_arm_and_baseline(measured):
    rows = contrasts_of(measured)
    assert [(row.selection, row.kind, row.arm.name, row.data_set) for row in rows] == [
        (selection, quantity, arm, data_set)
        for selection in ("paper", "holdout")
        for quantity in ("accuracy", "ece", "ece_calibrated", "worst_group_accuracy")
        for arm, data_sets in (("cat2", ("home", "near", "far")), ("wide", ("near",)))
        for data_set in data_sets
        if (quantity, data_set) != ("worst_group_accuracy", "far")  # `far` has no groups
    ]
    for row in rows:
        own, other = (
            [
                Replicate(tuple(seeds), getattr(one, row.kind))
                for seeds, one in zip(PAIRED[arm], measured[arm, row.data_set][row.selection], strict=True)
            ]
            for arm in (row.arm.name, "cat1")
        )
        assert row.baseline == "cat1" and row.contrast == contrast(own, other) and row.row_error is None
    (found,) = (row.contrast for row in rows if (row.selection, row.kind, row.arm.name) == ("paper", "ece", "wide"))
    values = [[one.ece for one in measured[arm, "near"]["paper"]] for arm in ("wide", "cat1")]
    paired = ttest_rel(*values)
    assert found.p == pytest.approx(paired.pvalue) and found.interval == pytest.approx(paired.confidence_interval())


def test_p_values_are_adjusted_within_a_quantity_and_selection(measured):
    """Contrasts on the source are not adjusted."""
    rows = contrasts_of(measured)
    assert all(row.p == row.contrast.p is not None for row in rows)
    assert all((row.p_holm is None) == (row.data_set == "home") for row in rows)
    for selection in ("paper", "holdout"):
        for quantity in calibration.COMPARED:
            family = [
                row for row in rows if (row.selection, row.kind) == (selection, quantity) and row.data_set != "home"
            ]
            assert len(family) == (2 if quantity == "worst_group_accuracy" else 3)
            assert [row.p_holm for row in family] == pytest.approx(holm([row.p for row in family]))


def test_the_csv_of_contrasts_has_p_values_or_a_reason(made):
    """A reason says why there is no p-value."""
    found = lines(made / "c.contrasts.csv")
    assert {line["kind"] for line in found} == set(calibration.COMPARED) and {line["row_se"] for line in found} == {""}
    assert [line["arm"] for line in found[:4]] == ["cat4", "cat4", "scratch", "scratch"]
    for line in found:
        assert line["baseline"] == "cat1" and (line["p"] == "") == bool(line["no_interval_because"])
        assert (line["no_interval_because"] == "one replicate") == (line["arm"] == "cat4")
    assert all(any(line["p"] for line in found if line["kind"] == quantity) for quantity in calibration.COMPARED)
    means = {
        (line["method"], line["data_set"], line["selection"], line["replicate"]): line for line in lines(made / "r.csv")
    }
    (line,) = (
        each
        for each in found
        if (each["kind"], each["arm"], each["data_set"], each["selection"]) == ("ece", "scratch", "few", "holdout")
    )
    differences = [
        float(means["scratch", "few", "holdout", n]["ece"]) - float(means["cat1", "few", "holdout", n]["ece"])
        for n in "01"
    ]
    assert float(line["mean"]) == pytest.approx(statistics.mean(differences), abs=2e-3)
