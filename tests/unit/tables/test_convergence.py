"""Marks and notes of tables on probes that have not converged and on weight decays at an end of their grid."""

import csv
import io

import pytest

from tests.support.tables import arms_of, data_sets_of
from workflow_scripts.timecat.probing.files import write_metrics
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.convergence import convergence_of
from workflow_scripts.timecat.tables.model import Cell
from workflow_scripts.timecat.tables.reading import read_probes
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text

GRID = (0.001, 0.01, 0.1)
DATA_SETS = data_sets_of(
    [{"name": name, "title": name.title(), "in_distribution": name == "home"} for name in ("home", "away")]
)
ARMS = arms_of(
    [
        {"name": "one", "members": 1, "steps": 8, "solver": "lbfgs"},
        {"name": "two", "members": 2, "steps": 4, "solver": "lbfgs"},
        {"name": "one_sgd", "members": 1, "steps": 8, "converged": "one"},
    ]
)


def cell(members, gradient=1e-5, best=0.01, top1=70.0, holdout=None, replicates=2, epochs=1):
    """Return metrics with ``best`` as the best weight decay on evaluation rows and ``holdout`` on held-out rows."""
    lines = []
    for replicate in range(replicates):
        for decay in GRID:
            for epoch in range(1, epochs + 1):
                where = {
                    "replicate": replicate,
                    "members": [10 * replicate + member for member in range(members)],
                    "weight_decay": decay,
                    "epoch": epoch,
                    "top5": 99.0,
                    "loss": 1.0,
                }
                own = {
                    "full": top1 if decay == best else top1 - 2,
                    "nine_tenths": 60.0 if decay == (holdout or best) else 50.0,
                }
                told = gradient if epoch == epochs else None
                for fit, split in (("full", "train"), ("full", "evaluation"), ("nine_tenths", "heldout")):
                    lines.append(
                        where
                        | {"fit": fit, "split": split, "top1": own[fit]}
                        | {"relative_gradient": told if split == "train" else None}
                    )
    return lines


def table_of(folder, cells, arms=ARMS, data_sets=DATA_SETS):
    """Return the lines of the CSV, the Markdown and the LaTeX of a table with metrics by (arm, data set)."""
    keys = [(arm.name, data_set.name) for arm in arms for data_set in data_sets]
    paths = [folder / f"{number}.parquet" for number in range(len(keys))]
    for path, key in zip(paths, keys):
        write_metrics(path, cells[key])
    probes = read_probes(paths, [Cell(*key) for key in keys], arms, data_sets)
    rows, found = accuracy_rows(probes, arms, data_sets), convergence_of(probes, arms, data_sets)
    table = found.in_table(accuracy_table(rows, data_sets))
    text = csv_text(found.in_records(accuracy_records(rows, data_sets)))
    return list(csv.DictReader(io.StringIO(text))), markdown_text(table), tex_text(table)


def cells(**changes):
    """Return cells that have converged, with changes of metrics by arm_dataset."""
    made = {}
    for arm in ARMS:
        for data_set in DATA_SETS:
            made[arm.name, data_set.name] = cell(arm.members, **changes.get(f"{arm.name}_{data_set.name}", {}))
    return made


def test_a_note_says_that_all_probes_have_converged(tmp_path):
    lines, markdown, _ = table_of(tmp_path, cells(two_away={"gradient": 2e-5}))
    assert (
        "- All probes have converged. The gradient norm of the selected heads' objective, relative to that at zero "
        "weights, is 2e-5 or less." in markdown
    )
    assert "Not converged" not in markdown and "end of its grid" not in markdown
    assert [line["away_converged"] for line in lines] == ["yes"] * 3
    assert [line["away_gradient"] for line in lines] == ["1.0e-05", "2.0e-05", "1.0e-05"]
    assert [line["away_holdout_edge"] for line in lines] == ["0"] * 3


def test_a_note_says_that_no_probe_has_converged(tmp_path):
    found = {key: cell(len(lines[0]["members"]), gradient=4e-3) for key, lines in cells().items()}
    found["two", "home"] = cell(2, gradient=2e-2)
    _, markdown, tex = table_of(tmp_path, found)
    assert (
        "- No probe has converged. The gradient" in markdown
        and "is between 4e-3 and 2e-2; a value up to 1e-4" in markdown
    )
    (sentence,) = (line for line in markdown.splitlines() if "No probe" in line)
    assert not any(arm.name in sentence for arm in ARMS), "no cell is listed"
    assert "No probe has converged." in tex


def test_cells_that_have_not_converged_are_named_arm_by_arm(tmp_path):
    changes = {"two_away": {"gradient": 3e-3}, "one_sgd_home": {"gradient": 2e-4}, "one_sgd_away": {"gradient": 2e-4}}
    lines, markdown, tex = table_of(tmp_path, cells(**changes))
    assert r"is above 1e-4 (up to 3e-3) in **two** on Away, **one\_sgd**." in markdown
    assert r"is above 1e-4 (up to 3e-3) in two on Away, one\_sgd." in tex
    assert [(line["home_converged"], line["away_converged"]) for line in lines] == [
        ("yes", "yes"),
        ("yes", "no"),
        ("no", "no"),
    ]


def test_a_cell_with_an_unknown_gradient_is_not_marked_as_converged(tmp_path):
    """`paper` selects the first of two equal epochs, which has no gradient in these metrics."""
    found = cells(two_away={"epochs": 2})
    for line in found["two", "home"]:
        if line["replicate"] == 1:
            line["relative_gradient"] = None
    lines, _, _ = table_of(tmp_path, found)
    assert (lines[1]["away_converged"], lines[1]["away_holdout_converged"]) == ("", "yes")
    assert lines[1]["home_converged"] == "", "the gradient of one replicate alone is known"


def test_cells_far_from_the_converged_probe_are_named(tmp_path):
    near, far = {"top1": 70.4}, {"top1": 71.5, "best": 0.1}
    lines, markdown, _ = table_of(tmp_path, cells(one_sgd_home=near, one_sgd_away=far))
    # At weight decay 0.1 the converged probe reaches 68.
    assert (lines[2]["home_from_converged"], lines[2]["away_from_converged"]) == ("0.40", "3.50")
    assert (lines[2]["home_converged"], lines[2]["away_converged"]) == ("yes", "no")
    assert lines[0]["away_from_converged"] == ""
    assert (
        "- Mean accuracy differs by more than 0.5 points from that of converged probes of the same checkpoints at the "
        "same weight decays (largest difference: +3.50) in **one\\_sgd** on Away." in markdown
    )


def test_a_distance_needs_the_same_seeds_and_weight_decays(tmp_path):
    found = cells()
    found["one", "home"] = cell(1, replicates=1)
    found["one", "away"] = [line for line in cell(1, replicates=1) if line["weight_decay"] != 0.01]
    found["two", "home"], found["two", "away"] = (cell(2, replicates=2) for _ in range(2))
    lines, markdown, _ = table_of(tmp_path, found)
    assert "home_from_converged" not in lines[2] and "points from" not in markdown


@pytest.mark.parametrize("end", [GRID[0], GRID[-1]])
def test_weight_decays_at_an_end_of_the_grid_are_named(tmp_path, end):
    lines, markdown, _ = table_of(tmp_path, cells(one_home={"best": end, "holdout": 0.01}, two_away={"best": end}))
    assert [line["home_edge"] for line in lines] == ["2", "0", "0"]
    assert [line["home_holdout_edge"] for line in lines] == ["0"] * 3
    assert [line["away_holdout_edge"] for line in lines] == ["0", "2", "0"]
    assert (
        "- The selected weight decay of at least one replicate is at an end of its grid in **one** on Home, **two** on "
        "Away (selection **paper**); **two** on Away (selection **holdout**)." in markdown
    )


def test_cells_without_probes_or_with_one_weight_decay_have_no_marks(tmp_path):
    arms = arms_of([{"name": "direct", "members": 1, "steps": None, "transfer": "direct"}])
    lines = [{key: value for key, value in line.items() if key != "relative_gradient"} for line in cell(1)]
    single = [line for line in lines if line["weight_decay"] == 0.01]
    found = {("direct", "home"): single, ("direct", "away"): single}
    (line,), markdown, _ = table_of(tmp_path, found, arms)
    assert not [name for name in line if name.endswith(("_gradient", "_edge", "_converged"))]
    assert "onverged" not in markdown and "end of its grid" not in markdown


def test_cells_with_heads_selected_on_another_data_set_have_no_marks(tmp_path):
    found = cells()
    for arm in ARMS:
        full = [line for line in cell(arm.members) if (line["split"], line["weight_decay"]) == ("evaluation", 0.01)]
        found[arm.name, "away"] = [
            {key: value for key, value in line.items() if key != "relative_gradient"} | {"selection": selection}
            for line in full
            for selection in ("paper", "holdout")
        ]
    lines, _, _ = table_of(tmp_path, found)
    assert {line["away_converged"] for line in lines} == {""} and lines[0]["home_converged"] == "yes"
