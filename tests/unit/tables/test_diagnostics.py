"""Stage tabulate_diagnostics: contents of the CSV and the figure for given diagnostics."""

import csv
import io
import json
import statistics
import sys
import xml.etree.ElementTree

import pytest

from workflow_scripts import tabulate_diagnostics
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.diagnosis import write_diagnostics
from workflow_scripts.timecat.tables.diagnostics import read_cell
from workflow_scripts.timecat.tables.figures import diagnostics as figures

ARMS = [
    {"name": "cat1", "members": 1, "steps": 450_000, "transfer": "probe"},
    {"name": "cat2", "members": 2, "steps": 200_000, "transfer": "probe"},
    {"name": "cat4", "members": 4, "steps": 100_000, "transfer": "probe"},
]
REPLICATES = {"cat2": 3, "cat4": 1}
DATA_SETS = [
    {"name": "source", "title": "Source", "in_distribution": True},
    {"name": "masked", "title": "Masked", "in_distribution": False, "probe_of": "Source"},
    {"name": "odd", "title": "50% of a_b", "in_distribution": False},
]
CELLS = [{"arm": arm, "data_set": name} for arm in REPLICATES for name in ("source", "odd")]
STYLE = {"width_per_panel": 2.0, "height": 2.0}


def value(quantity: str, replicate: int, member: int, other: int | None = None) -> float:
    """Return a value that identifies its quantity, replicate and members."""
    base = {"accuracy": 80, "block_accuracy": 50, "leave_one_out_accuracy": 70, "weight": 0.01, "folded_weight": 2}
    return base.get(quantity, 0.5) * (1 + replicate / 10 + member / 100 + (other or 0) / 1000)


def rows(arm: str) -> list[dict]:
    """Return the diagnostics of a cell as the stage writes them."""
    members = next(one["members"] for one in ARMS if one["name"] == arm)
    found = []

    def add(replicate, selection, quantity, member, other=None):
        found.append(
            {
                "replicate": replicate,
                "members": list(range(members)),
                "selection": selection,
                "quantity": quantity,
                "member": member,
                "other_member": other,
                "value": value(quantity, replicate, member or 0, other),
            }
        )

    for replicate in range(REPLICATES[arm]):
        for selection in ("paper", "holdout"):
            add(replicate, selection, "accuracy", None)
            for quantity in ("block_accuracy", "leave_one_out_accuracy", "weight", "folded_weight"):
                for member in range(members):
                    add(replicate, selection, quantity, member)
        for member in range(members):
            for other in range(member + 1, members):
                add(replicate, None, "cka", member, other)
    return found


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[str]:
    """Paths of Parquet files, one for each of CELLS."""
    folder = tmp_path_factory.mktemp("diagnostics")
    made = [str(folder / f"{number}.parquet") for number in range(len(CELLS))]
    for path, cell in zip(made, CELLS):
        write_diagnostics(path, rows(cell["arm"]))
    return made


def run(folder, paths, cells=CELLS, data_sets=DATA_SETS, name="diagnostics") -> None:
    values = {"cells": cells, "arms": ARMS, "data-sets": data_sets, "style": STYLE}
    line = ["stage", "--diagnostics", *map(str, paths)]
    line += [word for key, given in values.items() for word in (f"--{key}", json.dumps(given))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", "restored after the test")
        patch.setattr(sys, "argv", [*line, "--csv", str(folder / f"{name}.csv"), "--svg", str(folder / f"{name}.svg")])
        tabulate_diagnostics.main()


@pytest.fixture(scope="module")
def made(paths, tmp_path_factory):
    """Folder of a run's outputs."""
    folder = tmp_path_factory.mktemp("made")
    run(folder, paths)
    return folder


def test_the_csv_summarises_means_over_members_over_replicates(made):
    lines = list(csv.DictReader(io.StringIO((made / "diagnostics.csv").read_text())))
    assert len(lines) == len(CELLS) * (2 * 5 + 1)
    assert {line["method"] for line in lines} == set(REPLICATES)
    for line in lines:
        n, k = REPLICATES[line["method"]], int(line["members"])
        name = line["quantity"]
        own = [
            [value(name, r, m, other) for m in range(k) for other in range(m + 1, k)]
            if name == "cka"
            else [value(name, r, m) for m in range(1 if name == "accuracy" else k)]
            for r in range(n)
        ]
        means = [statistics.mean(values) for values in own]
        assert float(line["mean"]) == pytest.approx(statistics.mean(means), rel=1e-3)
        assert (line["std"] == "") == (n == 1)
        if n > 1:
            assert float(line["std"]) == pytest.approx(statistics.stdev(means), rel=1e-2)
        together = [one for values in own for one in values]
        assert float(line["least"]) == pytest.approx(min(together), rel=1e-3)
        assert float(line["most"]) == pytest.approx(max(together), rel=1e-3)
        assert line["replicates"] == str(n) and (line["selection"] == "") == (name == "cka")
    assert lines[0] == {
        "method": "cat2",
        "members": "2",
        "steps_per_member": "200000",
        "data_set": "source",
        "selection": "paper",
        "quantity": "accuracy",
        "replicates": "3",
        "mean": "88.00",
        "std": "8.00",
        "least": "80.00",
        "most": "96.00",
    }


def test_the_figure_has_two_panels_per_diagnosed_data_set(made):
    svg = xml.etree.ElementTree.fromstring((made / "diagnostics.svg").read_text())
    ids = {element.get("id") for element in svg.iter()}
    assert len({name for name in ids if name and name.startswith("axes_")}) == 2 * 2
    assert "date" not in (made / "diagnostics.svg").read_text().lower()
    assert sorted(path.name for path in made.iterdir()) == ["diagnostics.csv", "diagnostics.svg"]


def test_two_runs_write_the_same_bytes(made, paths, tmp_path):
    run(tmp_path, paths)
    for name in ("diagnostics.csv", "diagnostics.svg"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_every_value_is_drawn_in_the_part_of_its_replicate():
    """Equal values do not hide one another and stay within their replicate's part of the arm's slot."""
    from matplotlib.figure import Figure

    panel = Figure().subplots()
    quantity = {0: [50.0, 50.0], 1: [60.0, 60.0]}
    for place, width, replicate in figures._places(3, quantity):
        figures._strip(panel, place, width, quantity[replicate], "block_accuracy")
    first, second = [line.get_xdata().tolist() for line in panel.lines]
    assert len(set(first)) == len(set(second)) == 2
    assert 3 - 0.5 < min(first) < max(first) < 3 < min(second) < max(second) < 3 + 0.5


def test_data_sets_continue_in_a_second_line_of_panels(paths, tmp_path):
    data_sets = [{"name": f"d{i}", "title": f"D{i}", "in_distribution": False} for i in range(5)]
    cells = [{"arm": "cat2", "data_set": one["name"]} for one in data_sets]
    run(tmp_path, [paths[0]] * 5, cells, data_sets, "many")
    svg = xml.etree.ElementTree.fromstring((tmp_path / "many.svg").read_text())
    width, height = (float(svg.get(side).removesuffix("pt")) for side in ("width", "height"))
    assert width == pytest.approx(3 * 2 * 72) and height > 2 * 2 * 72


def test_a_member_without_cka_is_left_out(tmp_path):
    lines = rows("cat4")
    for line in lines:
        if line["quantity"] == "cka" and 0 in (line["member"], line["other_member"]):
            line["value"] = None
    write_diagnostics(tmp_path / "d.parquet", lines)
    found = read_cell(tmp_path / "d.parquet")
    assert len(found[None, "cka"].all) == 3 and len(found["paper", "weight"].all) == 4
    for line in lines:
        if line["quantity"] == "cka":
            line["value"] = None
    write_diagnostics(tmp_path / "none.parquet", lines)
    run(tmp_path, [tmp_path / "none.parquet"], CELLS[2:3], DATA_SETS, "none")
    assert ",cka," not in (tmp_path / "none.csv").read_text()


def test_arms_of_one_member_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no arm has more than one .* add an arm"):
        run(tmp_path, [], [])
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"bad\.parquet: cannot be read as diagnostics .* run again"):
        run(tmp_path, [tmp_path / "bad.parquet"], CELLS[:1])
