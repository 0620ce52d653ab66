"""Stage tabulate: contents of the table, the figure and the long metrics for given probes."""

import csv
import io
import itertools
import json
import statistics
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet
import pytest
from scipy.stats import ttest_1samp

from tests.support.tables import arm_of, arms_of, data_sets_of, style_of, write_predictions_of
from workflow_scripts import tabulate
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables import reading
from workflow_scripts.timecat.tables.accuracies import MEANINGS
from workflow_scripts.timecat.tables.figures import drawing
from workflow_scripts.timecat.tables.figures.accuracies import members_figure
from workflow_scripts.timecat.tables.model import Cell, Row, Summary, summarize

ROOT = Path(__file__).parents[3]
ARMS = [
    {"name": "cat1", "members": 1, "steps": 450_000, "transfer": "probe"},
    {"name": "cat2", "members": 2, "steps": 200_000, "transfer": "probe"},
    {"name": "cat4", "members": 4, "steps": 100_000, "transfer": "probe"},
    {"name": "cat_5", "members": 5, "steps": 80_000, "transfer": "probe"},
]
REPLICATES = {"cat1": 5, "cat2": 3, "cat4": 2, "cat_5": 1}
DATA_SETS = [
    {"name": "source", "title": "Source", "in_distribution": True},
    {"name": "plain", "title": "plain", "in_distribution": False},
    {"name": "odd", "title": r"50% of a_b & c|d \ {e}", "in_distribution": False},
    {"name": "last", "title": "Last", "in_distribution": False},
]
CELLS = [{"arm": arm["name"], "data_set": data_set["name"]} for arm in ARMS for data_set in DATA_SETS]
STYLE = {"width_per_panel": 2.0, "height": 2.0}
OUTPUTS = {
    "csv": "table2.csv",
    "contrasts": "table2.contrasts.csv",
    "markdown": "table2.md",
    "tex": "table2.tex",
    "svg": "table2.svg",
    "metrics": "m.parquet",
}
WEIGHT_DECAYS = (0.001, 0.01)
EPOCHS = (1, 2)


def paper_value(arm: int, data_set: int, replicate: int) -> float:
    """Return the top-1 (percent) that `paper` must select, at the first epoch and the first weight decay."""
    return 40 + 5 * data_set + 3 * arm + 0.25 * replicate


def probe(arm: int, data_set: int) -> pyarrow.Table:
    """Return the metrics of a cell in which the two selections differ by 2 percentage points."""
    spec = ARMS[arm]
    lines = []
    for replicate, (index, weight_decay), epoch, fit, split in itertools.product(
        range(REPLICATES[spec["name"]]),
        enumerate(WEIGHT_DECAYS),
        EPOCHS,
        ("full", "nine_tenths"),
        ("train", "evaluation", "heldout"),
    ):
        if fit == "full" and split == "heldout":
            continue
        top1 = paper_value(arm, data_set, replicate)
        if fit == "full" and split == "evaluation":
            # The second weight decay is best on held-out rows, and ends 2 points below the best of the first.
            top1 -= 0 if (index, epoch) == (0, 1) else 2 if index else 3
        else:
            top1 += 10 * index
        members = list(range(spec["members"] * replicate, spec["members"] * (replicate + 1)))
        lines.append(
            {
                "replicate": replicate,
                "members": members,
                "weight_decay": weight_decay,
                "fit": fit,
                "epoch": epoch,
                "split": split,
                "top1": top1,
                "top5": 99.0,
                "loss": 1.0,
            }
        )
    return pyarrow.Table.from_pylist(lines).replace_schema_metadata({"writer": f"of {data_set}"})


@pytest.fixture(scope="module")
def probe_paths(tmp_path_factory) -> list[str]:
    """Paths of Parquet files, one for each of CELLS."""
    folder = tmp_path_factory.mktemp("probes")
    paths = []
    for arm, data_set in itertools.product(range(len(ARMS)), range(len(DATA_SETS))):
        paths.append(str(folder / f"{arm}-{data_set}.parquet"))
        pyarrow.parquet.write_table(probe(arm, data_set), paths[-1])
        write_predictions_of(predictions_of(paths[-1]), probe(arm, data_set))
    return paths


def predictions_of(path: str) -> Path:
    """Return the path of a cell's predictions."""
    return Path(path).with_suffix(".predictions.parquet")


def command_line(paths, folder, cells=CELLS, arms=ARMS) -> list[str]:
    """Return the stage's arguments."""
    values = {"cells": cells, "arms": arms, "data-sets": DATA_SETS, "style": STYLE}
    arguments = ["--probes", *paths, "--predictions", *map(str, map(predictions_of, paths)), "--baseline", "cat1"]
    for name, value in values.items():
        arguments += [f"--{name}", json.dumps(value)]
    for name, file in OUTPUTS.items():
        arguments += [f"--{name}", str(folder / file)]
    return arguments


def run(arguments, home: Path) -> subprocess.CompletedProcess:
    """Run the stage in a separate process with the given home folder."""
    command = [sys.executable, "-m", "workflow_scripts.tabulate", *arguments]
    return subprocess.run(command, cwd=ROOT, env={"HOME": str(home)}, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Home folder in which the stage must write nothing."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def outputs(probe_paths, home, tmp_path_factory) -> Path:
    """Folder of a run's outputs."""
    folder = tmp_path_factory.mktemp("outputs")
    done = run(command_line(probe_paths, folder), home)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_stage_writes_its_outputs_and_no_other_files(outputs, home):
    assert {path.name for path in outputs.iterdir()} == set(OUTPUTS.values())
    assert list(home.iterdir()) == []


def test_the_csv_has_the_expected_header_and_rows(outputs):
    lines = (outputs / "table2.csv").read_text().split("\n")
    assert lines[0] == "method,members,steps_per_member,total_steps,replicates," + ",".join(
        [f"{name},{name}_std,{name}_holdout,{name}_holdout_std" for name in ("source", "plain", "odd", "last")]
        + [f"{name}_edge,{name}_holdout_edge" for name in ("source", "plain", "odd", "last")]
    )
    assert lines[1].startswith("cat1,1,450000,450000,5,40.50,0.40,38.50,0.40,45.50,")
    assert lines[4].startswith("cat_5,5,80000,400000,1,49.00,,47.00,,54.00,,")
    assert [line.split(",")[0] for line in lines] == ["method", "cat1", "cat2", "cat4", "cat_5", ""]


def test_the_csv_has_mean_and_deviation_over_replicates(outputs):
    """The head of each replicate is selected separately."""
    rows = csv.DictReader(io.StringIO((outputs / "table2.csv").read_text()))
    for arm, row in enumerate(rows):
        for index, data_set in enumerate(DATA_SETS):
            values = [paper_value(arm, index, replicate) for replicate in range(REPLICATES[row["method"]])]
            std = f"{statistics.stdev(values):.2f}" if len(values) > 1 else ""
            assert row[data_set["name"]] == f"{statistics.mean(values):.2f}"
            assert row[f"{data_set['name']}_holdout"] == f"{statistics.mean(values) - 2:.2f}"
            assert row[f"{data_set['name']}_std"] == row[f"{data_set['name']}_holdout_std"] == std


def test_the_markdown_has_both_selections(outputs):
    text = (outputs / "table2.md").read_text()
    paper, holdout = text.split("**Selection `holdout`**")
    assert "**Selection `paper`**" in paper and "Source (in distribution)" in paper
    assert "| cat1 | 1 × 450,000 | 450,000 | 5 | 40.50 ± 0.40 |" in paper
    assert "| cat4 | 4 × 100,000 | 400,000 | 2 | **46.12** ± 0.18 | **51.12** ± 0.18 |" in paper
    assert "| cat\\_5 | 5 × 80,000 | 400,000 | 1 | 49.00 | 54.00 |" in paper, "not bold, because it has no interval"
    assert "| cat\\_5 | 5 × 80,000 | 400,000 | 1 | 47.00 |" in holdout
    assert r"50% of a\_b & c\|d \\ {e}" in paper
    for table in (paper, holdout):
        widths = [line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")]
        assert widths == [4 + len(DATA_SETS) + 1] * (2 + len(ARMS)) + [3 + len(DATA_SETS) + 1] * (1 + len(ARMS))


def test_the_markdown_has_the_contrasts_below_each_selection(outputs):
    text = (outputs / "table2.md").read_text()
    order = [text.index(f"**{kind} `{name}`**") for name in SELECTIONS for kind in ("Selection", "Contrasts")]
    assert order == sorted(order)
    # Differences of cat2: 3 + 0.25 r minus the mean of the baseline's replicates that have its seeds.
    ends = ttest_1samp([2.875, 2.625, 2.5], 0).confidence_interval()
    interval = f"+2.67 ({ends.low:+.2f} to {ends.high:+.2f}"
    assert f"| cat2 | 6 | 3 | {interval}) | {interval}, p = 0.0" in text, "no p on the source"
    assert "| cat\\_5 | 5 | 1 | +8.50 (rows ± " in text
    assert "**cat\\_5**: no interval over seeds (one replicate)." in text
    assert (
        "Selection **paper** exceeds **holdout** by 2.00 points on average over all cells; the largest difference is 2.00"
        in text
    )


def test_the_csv_of_contrasts_agrees_with_scipy(outputs):
    lines = list(csv.DictReader(io.StringIO((outputs / "table2.contrasts.csv").read_text())))
    assert len(lines) == (len(ARMS) - 1) * len(DATA_SETS) * len(SELECTIONS)
    first = lines[0]
    assert [first[name] for name in ("kind", "arm", "data_set", "selection", "baseline")] == [
        *("gain", "cat2", "source", "paper", "cat1")
    ]
    expected = ttest_1samp([2.875, 2.625, 2.5], 0)
    ends = expected.confidence_interval()
    assert [first[name] for name in ("mean", "low", "high")] == [f"{x:.3f}" for x in (8 / 3, ends.low, ends.high)]
    assert float(first["p"]) == pytest.approx(expected.pvalue, rel=1e-3)
    assert (first["p_holm"], first["seeds"], first["replicates"], first["interval"]) == ("", "6", "3", "t")
    for line in lines:
        if line["arm"] == "cat_5":
            assert [line[name] for name in ("low", "high", "se", "df", "p", "p_holm", "interval")] == [""] * 7
            assert line["no_interval_because"] == "one replicate" and float(line["row_se"]) > 0
        elif line["data_set"] != "source":
            assert float(line["p_holm"]) >= float(line["p"])
    # Six contrasts of a selection have a p-value and are not on the source, so the smallest is multiplied by six.
    for selection in SELECTIONS:
        own = [line for line in lines if line["selection"] == selection and line["p_holm"]]
        least = min(own, key=lambda line: float(line["p"]))
        assert len(own) == 6 and float(least["p_holm"]) == pytest.approx(6 * float(least["p"]), rel=1e-3)


def test_predictions_of_different_rows_or_replicates_are_refused(probe_paths, tmp_path):
    typed = [Cell(**cell) for cell in CELLS]
    accuracies = reading.selected_accuracies(
        reading.read_probes(probe_paths, typed, arms_of(ARMS), data_sets_of(DATA_SETS))
    )
    paths = [predictions_of(path) for path in probe_paths]
    hits = reading.read_hits(paths, typed, accuracies)
    for place, replicates in accuracies.items():
        assert 100 * hits[place].mean(1) == pytest.approx([each.accuracy for each in replicates], abs=0.2)
    swapped = [*paths[:4], *paths[8:12], *paths[4:8], *paths[12:]]
    with pytest.raises(UserError, match="does not have predictions of 3 replicates"):
        reading.read_hits(swapped, typed, accuracies)
    table = pyarrow.parquet.read_table(paths[4])
    other = table.set_column(table.column_names.index("row"), "row", pyarrow.compute.add(table["row"], 1))
    pyarrow.parquet.write_table(other, tmp_path / "other.parquet")
    with pytest.raises(UserError, match="other.parquet: its rows differ from those of other arms on 'source'"):
        reading.read_hits([*paths[:4], tmp_path / "other.parquet", *paths[5:]], typed, accuracies)
    with pytest.raises(UserError, match="--predictions names 15 files and --cells 16 cells"):
        reading.read_hits(paths[:-1], typed, accuracies)


def test_the_latex_is_escaped_and_balanced(outputs):
    text = (outputs / "table2.tex").read_text()
    assert r"50\% of a\_b \& c\textbar{}d \textbackslash{} \{e\}" in text
    assert (
        r"\textbf{46.12} " in text
        and r" & 49.00 & " in text
        and r"40.50 {\scriptsize $\pm$ 0.40}" in text
        and r"cat\_5 & 5 $\times$" in text
    )
    body = text.replace(r"\{", "").replace(r"\}", "")
    assert body.count("{") == body.count("}")
    assert [text.count(f"\\begin{{{name}}}") for name in ("table", "tabular")] == [1, 2]
    assert [text.count(f"\\end{{{name}}}") for name in ("table", "tabular")] == [1, 2]
    accuracies, contrasts = text.split(r"\medskip")
    for part, others in ((accuracies, 3), (contrasts, 2)):
        for line in part.splitlines():
            if line.startswith("    ") and line.endswith(r" \\") and "multicolumn" not in line:
                assert line.replace(r"\&", "").count("&") == others + len(DATA_SETS)
    assert r"\emph{contrasts paper}" in contrasts and "(rows $\\pm$ " in contrasts


def test_the_svg_is_well_formed_and_has_no_date(outputs):
    text = (outputs / "table2.svg").read_text()
    svg = xml.etree.ElementTree.fromstring(text)
    ids = [element.get("id") for element in svg.iter()]
    panels = {id for id in ids if id and id.startswith("axes_")}
    assert len(panels) == 2 * len(DATA_SETS), "accuracies, with contrasts below them"
    assert "date" not in text.lower()


def test_the_long_metrics_have_all_lines_of_the_probes(outputs):
    metrics = pyarrow.parquet.read_table(outputs / "m.parquet")
    assert metrics.column_names == ["arm", "data_set", "members_count", "steps", *reading.COLUMNS]
    parts = [probe(arm, data_set) for arm in range(len(ARMS)) for data_set in range(len(DATA_SETS))]
    assert metrics.num_rows == sum(part.num_rows for part in parts)
    lines = [line | {"relative_gradient": None, "selection": None} for part in parts for line in part.to_pylist()]
    assert metrics.select(reading.COLUMNS).to_pylist() == lines
    cat4 = metrics.filter(pyarrow.compute.equal(metrics["arm"], "cat4"))
    assert set(cat4["members_count"].to_pylist()) == {4} and set(cat4["steps"].to_pylist()) == {100_000}
    assert {len(members) for members in cat4["members"].to_pylist()} == {4}


def test_two_runs_write_the_same_bytes(probe_paths, outputs, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", "restored-after-the-test")
    monkeypatch.setattr(sys, "argv", ["tabulate", *command_line(probe_paths, tmp_path)])
    tabulate.main()
    for file in OUTPUTS.values():
        assert (tmp_path / file).read_bytes() == (outputs / file).read_bytes(), file


def test_a_summary_of_one_value_has_no_deviation():
    assert summarize([71.0]) == Summary(71.0, None, 1)
    summary = summarize([70.0, 71.0, 75.0])
    assert (summary.mean, summary.n) == (72.0, 3) and summary.std == pytest.approx(7**0.5)


@pytest.mark.parametrize(
    ("number", "text"), [(450_000, "450k"), (337, "337"), (2500, "2.5k"), (1_000_000, "1M"), (1234, "1234")]
)
def test_numbers_of_steps_are_shortened(number, text):
    assert drawing.short_number(number) == text


@pytest.mark.parametrize("members", [[1], [1, 1, 4], [4, 2, 1]])
def test_the_figure_can_be_drawn_for_any_numbers_of_members(members):
    rows = [
        Row(
            arm_of(name=f"arm{i}", members=k, steps=10),
            1,
            {("a", selection): Summary(50.0 + i, None, 1) for selection in drawing.LOOKS},
        )
        for i, k in enumerate(members)
    ]
    data_sets = data_sets_of([{"name": "a", "title": "A", "in_distribution": False}])
    assert members_figure(rows, data_sets, style_of(STYLE)).startswith(b"<?xml")


def test_each_selection_has_a_description_and_a_look():
    assert list(MEANINGS) == list(SELECTIONS) == list(drawing.LOOKS)


def test_a_mistake_in_the_cells_gives_a_one_line_error(probe_paths, home, tmp_path):
    swapped = [CELLS[4], *CELLS[1:4], CELLS[0], *CELLS[5:]]
    done = run(command_line(probe_paths, tmp_path, cells=swapped), home)
    assert done.returncode == 1 and list(tmp_path.iterdir()) == []
    said = [line for line in done.stderr.splitlines() if not line.startswith(("start-up ", "work "))]
    assert len(said) == 1 and said[0].startswith("error: ")
    assert "a replicate has 1 members, but arm 'cat2' has 2" in done.stderr and probe_paths[0] in done.stderr


def test_cells_that_do_not_match_arms_and_data_sets_are_refused(probe_paths):
    def read(paths, cells):
        typed = [Cell(**cell) for cell in cells]
        return reading.read_probes(paths, typed, arms_of(ARMS), data_sets_of(DATA_SETS))

    with pytest.raises(UserError, match="names 15 files and --cells 16"):
        read(probe_paths[:-1], CELLS)
    with pytest.raises(UserError, match="no probe of arm 'cat_5' on data set 'last'"):
        read(probe_paths[:-1], CELLS[:-1])
    with pytest.raises(UserError, match="duplicate cell"):
        read([probe_paths[0]] * 2, [CELLS[0]] * 2)
    with pytest.raises(UserError, match="does not name one of --arms"):
        read(probe_paths[:1], [{"arm": "cat3", "data_set": "source"}])


def test_a_damaged_probe_file_is_named(tmp_path):
    path = tmp_path / "probe.parquet"
    path.write_bytes(b"half")
    with pytest.raises(UserError, match=r"probe\.parquet: cannot be read"):
        reading.read_probe(path, arm_of(**ARMS[0]))
    pyarrow.parquet.write_table(probe(0, 0).drop_columns(["loss"]), path)
    with pytest.raises(UserError, match=r"probe\.parquet: has no column loss"):
        reading.read_probe(path, arm_of(**ARMS[0]))


def test_a_replicate_whose_heads_all_diverged_is_named():
    table = probe(1, 0)
    infinite = pyarrow.array([float("inf")] * table.num_rows)
    table = table.set_column(table.column_names.index("loss"), "loss", infinite)
    with pytest.raises(UserError, match="arm x on y, replicate 0, selection paper: every head diverged"):
        reading.selected_values(table, "paper", "arm x on y")
