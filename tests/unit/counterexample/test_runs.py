"""Test the stages of the counterexample: rows, summary, figure, and the checks of their settings."""

import csv
import io
import re
import sys
import xml.etree.ElementTree
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
import yaml

from tests.support.studies import ROOT
from workflow_scripts import counterexample, tabulate_counterexample
from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.config.counterexample import Counterexample
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.counterexample import files
from workflow_scripts.timecat.counterexample.exact import optimum, untied
from workflow_scripts.timecat.counterexample.files import Setting
from workflow_scripts.timecat.counterexample.runs import run_all
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.tables.counterexample import counterexample_records
from workflow_scripts.timecat.tables.figures.counterexample import counterexample_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text

GRID, M = 4, 20  # M: number of mixtures without the 15 ties
OUTPUTS = ("runs", "together", "csv", "svg")
SMALL = Counterexample(
    grid=GRID, seeds=4, steps=300, probe_steps=200, batch_size=6, weight_decays=[0.0, 0.2], lrs=[0.2, 1.5]
).settings()


def run(monkeypatch, folder, settings) -> None:
    """Run the stages counterexample and tabulate_counterexample."""
    for stage, names in ((counterexample, ("runs", "together")), (tabulate_counterexample, OUTPUTS)):
        files = [word for name in names for word in (f"--{name}", str(folder / name))]
        monkeypatch.setattr(sys, "argv", [stage.__name__, "--settings", canonical_json(settings), *files])
        stage.main()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with the outputs of both stages on SMALL: runs, together, csv, svg."""
    folder = tmp_path_factory.mktemp("counterexample")
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, folder, SMALL)
    return folder


def test_equal_settings_give_equal_bytes(made, tmp_path, monkeypatch):
    run(monkeypatch, tmp_path, SMALL)
    assert {path.name for path in tmp_path.iterdir()} == set(OUTPUTS)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_adding_a_setting_does_not_change_existing_rows(made):
    """Weight decays, kinds of networks and learning rates are added."""
    fewer = replace(SMALL, networks=["relu"], weight_decays=[0.2], lrs=[1.5])
    (alone,) = run_all(fewer)
    rows = files.runs_table([alone], GRID).to_pylist()
    kept = pq.read_table(made / "runs").to_pylist()
    assert rows == [row for row in kept if (row["network"], row["weight_decay"], row["lr"]) == ("relu", 0.2, 1.5)]


@pytest.mark.parametrize("members", [1, 2, 5])
def test_results_read_from_the_files_equal_those_written(tmp_path, members):
    settings = replace(SMALL, **{"networks": ["gates", "relu"], "steps": 30, "probe_steps": 20, "members": members})
    found = list(run_all(settings))
    write_table(tmp_path / "runs", files.runs_table(found, GRID))
    write_table(tmp_path / "together", files.together_table(found, GRID))
    read = files.read_settings_found(tmp_path / "runs", tmp_path / "together", settings)
    assert len(read) == len(found)
    for one, other in zip(read, found):
        for name, value in vars(other).items():
            assert np.array_equal(getattr(one, name), value), name
            assert not isinstance(value, np.ndarray) or getattr(one, name).dtype == value.dtype, name


@pytest.mark.parametrize("change", [{"networks": ["relu", "gates", "linear"]}, {"lrs": [0.2, 1.0]}, {"seeds": 5}])
def test_files_of_different_settings_are_refused(made, change):
    with pytest.raises(
        UserError, match="was written with different settings of `counterexample`: delete it and run again"
    ):
        files.read_settings_found(made / "runs", made / "together", replace(SMALL, **change))


def test_a_file_that_is_not_parquet_is_refused(made, tmp_path):
    (tmp_path / "runs").write_text("no Parquet")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        files.read_settings_found(tmp_path / "runs", made / "together", SMALL)


def test_every_network_has_a_row(made):
    rows = pq.read_table(made / "runs").to_pylist()
    mixtures = [tuple(row) for row in untied(GRID).tolist()]
    wanted = {
        (network, decay, lr, *mixture, seed)
        for network in SMALL.networks
        for decay in SMALL.weight_decays
        for lr in SMALL.lrs
        for mixture in mixtures
        for seed in range(4)
    }
    names = ("network", "weight_decay", "lr", "l1", "l2", "l3", "l4", "seed")
    assert len(rows) == len(wanted) and {tuple(row[name] for name in names) for row in rows} == wanted
    assert all((row["feature"] == 0) == (row["dimensions"] == 0) for row in rows)
    assert all(row["optimal_feature"] == 1 for row in rows if row["l1"] == GRID)


def test_the_summary_agrees_with_the_rows(made):
    """Each figure is computed again by plain loops over the rows of the Parquet file."""
    rows = pq.read_table(made / "runs").to_pylist()
    lines = list(csv.DictReader(io.StringIO((made / "csv").read_text())))
    assert [line["network"] for line in lines] == ["exact"] + [name for name in SMALL.networks for _ in range(4)]
    for line in lines[1:]:
        setting = line["network"], float(line["weight_decay"]), float(line["lr"])
        own = [row for row in rows if (row["network"], row["weight_decay"], row["lr"]) == setting]
        assert (line["mixtures"], line["seeds"]) == (str(M), "4") and len(own) == 4 * M

        def check(name, value, own=own, line=line):
            by_seed = [np.mean([value(row) for row in own if row["seed"] == seed]) for seed in range(4)]
            assert float(line[name]) == pytest.approx(np.mean(by_seed), abs=0.0051)
            assert float(line[f"{name}_std"]) == pytest.approx(np.std(by_seed, ddof=1), abs=0.0051)
            if np.std(by_seed) > 0:
                ends = scipy.stats.t.interval(0.95, 3, np.mean(by_seed), scipy.stats.sem(by_seed))
                assert [float(line[f"{name}_{end}"]) for end in ("low", "high")] == pytest.approx(ends, abs=0.0051)

        def number(row):
            return sum(row[f"solved{i}"] for i in (1, 2, 3, 4))

        def mean(name, values, line=line):
            assert line[name] == ("" if not values else f"{np.mean(values):.2f}")

        check("keeps_none", lambda row: 100 * (row["dimensions"] == 0))
        check("keeps_one", lambda row: 100 * (row["dimensions"] == 1))
        check("keeps_more", lambda row: 100 * (row["dimensions"] > 1))
        check("solved", number)
        check("error", lambda row: 100 * row["error"])
        one = [row for row in own if row["dimensions"] == 1]
        assert {row["optimal_feature"] for row in own} == {1, 2}
        mean("optimal_feature", [100 * (row["feature"] == row["optimal_feature"]) for row in one])
        mean("solved_of_one", [number(row) for row in one])
        mean("direct", [100 * row[f"solved{i}"] for i in (1, 2, 3, 4) for row in own if row[f"l{i}"] == GRID])
        mean("diverged", [0 for _ in own])
        for i in (1, 2, 3, 4):
            mean(f"solved{i}", [100 * row[f"solved{i}"] for row in own])
        found = {}
        for row in one:
            found.setdefault(tuple(row[f"l{i}"] for i in (1, 2, 3, 4)), set()).add(row["feature"])
        assert float(line["seeds_differ"]) == pytest.approx(
            100 * sum(len(f) == 2 for f in found.values()) / M, abs=0.0051
        )


def test_the_networks_differ_in_what_they_keep_and_solve(made):
    """The test above would pass on a table of zeros; these networks keep none, one, two and three dimensions."""
    rows = pq.read_table(made / "runs").to_pylist()
    assert {row["dimensions"] for row in rows} == {0, 1, 2, 3}
    assert {sum(row[f"solved{i}"] for i in (1, 2, 3, 4)) for row in rows} >= {0, 2, 4}


def test_the_exact_row_is_the_papers_claim(made):
    """Every mixture needs one feature, which solves two of four distributions; the error is (1 - difference) / 4."""
    exact = next(csv.DictReader(io.StringIO((made / "csv").read_text())))
    mixtures = untied(GRID)
    largest = np.maximum(abs(mixtures[:, 0] - mixtures[:, 1]), abs(mixtures[:, 2] - mixtures[:, 3]))
    assert (exact["keeps_one"], exact["solved"], exact["solved_of_one"]) == ("100.00", "2.00", "2.00")
    # A probe on x1 solves P1 and P2, a probe on x2 solves P3 and P4.
    is_first = abs(mixtures[:, 0] - mixtures[:, 1]) > abs(mixtures[:, 2] - mixtures[:, 3])
    shares = [f"{100 * np.mean(is_first == wanted):.2f}" for wanted in (True, True, False, False)]
    assert [exact[f"solved{i}"] for i in (1, 2, 3, 4)] == shares
    assert exact["error"] == f"{25 * np.mean(1 - largest / GRID):.2f}" and exact["seeds"] == exact["solved_std"] == ""


def test_a_single_seed_has_no_standard_deviation():
    (setting, *_) = run_all(replace(SMALL, seeds=1, steps=2, probe_steps=2))
    line = list(csv.DictReader(io.StringIO(csv_text(counterexample_records([setting], GRID)))))[1]
    assert (
        line["seeds"] == "1"
        and line["solved_std"] == line["solved_low"] == line["solved_high"] == ""
        and line["solved"]
    )


@pytest.mark.parametrize("decay", [0.05, 0.1])
def test_a_gate_stays_open_if_its_imbalance_outweighs_weight_decay(decay):
    """The loss near zero falls by |difference| / 4 per unit of u_j w_j, and weight decay costs decay x |u_j w_j|."""
    settings = Counterexample(grid=7, seeds=2, networks=["gates"], weight_decays=[decay], lrs=[0.5], batch_size=28)
    (setting,) = run_all(settings.settings())  # batches of all rows: gradient descent
    mixtures = untied(7)
    differences = np.stack([mixtures[:, 0] - mixtures[:, 1], mixtures[:, 2] - mixtures[:, 3]], 1)
    one_only = (differences == 0).any(1)  # mixtures on which only one feature has an effect
    pull = np.abs(differences[one_only]).max(1) / 7 / 4
    clear = np.abs(pull / decay - 1) > 0.2
    assert clear.sum() > 20 and {True, False} == set((pull > decay)[clear])
    assert ((setting.dimensions[one_only] == 1) == (pull > decay)[:, None])[clear].all()


def test_relus_keep_more_features_than_linear_units():
    """Linear units keep only the best feature. The recipe is the embedded study's, on a coarser grid."""
    settings = Counterexample(grid=GRID, seeds=3, networks=["linear", "relu"], weight_decays=[0.03], lrs=[0.1])
    linear, relu = run_all(settings.settings())
    best = optimum(untied(GRID))
    assert (linear.dimensions == 1).all() and (linear.feature == best.feature[:, None]).all()
    assert (linear.solved.sum(0) == 2).all()
    assert (relu.dimensions > 1).mean() > 0.95 < relu.solved.mean() and relu.error.mean() < 0.02 < linear.error.mean()


def made_up(network: str, dimensions, feature, mixtures: int, S: int = 2) -> Setting:
    """Return a setting in which all networks have the same results."""
    shape = mixtures, S
    full = (
        np.full(shape, dimensions),
        np.full(shape, feature),
        np.zeros((4, *shape), bool),
        np.ones((4, mixtures, 1), bool),
    )
    return Setting(network, 0.0, 0.1, *full, np.zeros(shape), np.zeros(shape, bool))


def test_concatenated_seeds_have_a_separate_probe():
    """Probes of one member equal the probe of the seed. There is no probe if seeds are too few for a group."""
    own = replace(SMALL, networks=["relu"], weight_decays=[0.2], lrs=[1.5])
    (alone,) = run_all(replace(own, members=1))
    assert np.array_equal(alone.solved, alone.solved_together) and 0 < alone.solved.mean() < 1
    (pairs,) = run_all(replace(own, members=2))
    assert pairs.solved_together.shape == (4, M, 2) and np.array_equal(pairs.solved, alone.solved)
    assert pairs.solved_together.mean() != alone.solved.mean()
    (few,) = run_all(replace(own, members=5))
    line = list(csv.DictReader(io.StringIO(csv_text(counterexample_records([few], GRID)))))[1]
    assert few.solved_together.size == 0 and line["solved_together"] == line["solved_together_std"] == ""


def test_the_summary_of_concatenated_seeds_is_over_groups():
    setting = made_up("gates", 1, 1, M, 4)
    setting = replace(setting, solved_together=np.stack([np.ones((4, M), bool), np.zeros((4, M), bool)], -1))
    line = list(csv.DictReader(io.StringIO(csv_text(counterexample_records([setting], GRID)))))[1]
    assert line["solved_together"] == "2.00" and line["solved_together_std"] == f"{8**0.5:.2f}" and line["seeds"] == "4"


def test_the_figure_colours_mixtures_by_feature():
    """One map shows the best feature, the remaining maps show the kept features."""
    settings = replace(SMALL, grid=2, networks=["gates", "relu"], weight_decays=[0.0], lrs=[0.1])
    found = [made_up("gates", 1, 2, 4), made_up("relu", 3, 1, 4)]
    found[0].feature[3] = [1, 2]  # seeds keep different features on the last mixture
    svg = counterexample_figure(found, settings).decode()
    xml.etree.ElementTree.fromstring(svg)
    assert "<dc:date>" not in svg and "Matplotlib" not in svg
    # Grid 2 has 10 mixtures; those without a tie are the four distributions, with one cell each.
    cells = re.findall(r'<g id="PolyCollection_\d+">(.*?)</g>\s*<g id="matplotlib.axis', svg, re.DOTALL)
    blue, vermilion, mean, grey = "#0072b2", "#d55e00", "#6a6859", "#d1d1d1"
    counted = [{colour: cell.count(f"fill: {colour}") for colour in (blue, vermilion, mean, grey)} for cell in cells]
    assert counted == [
        {blue: 2, vermilion: 2, mean: 0, grey: 0},
        {blue: 0, vermilion: 3, mean: 1, grey: 0},
        {blue: 0, vermilion: 0, mean: 0, grey: 4},
    ]


def mistake(tmp_path, block) -> str:
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text()) | {"counterexample": block}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError) as error:
        read_config(values, [str(file)])
    return str(error.value).removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"sedes": 20}, "`counterexample.sedes` is not a key; did you mean `seeds`?"),
        ({"networks": ["gate"]}, "`counterexample.networks.0` is 'gate'; it must be 'gates', 'linear' or 'relu'"),
        ({"networks": ["relu", "relu"]}, "`counterexample.networks`: 'relu' is listed twice; remove one"),
        ({"lrs": [0.1, 0.2, 0.3, 0.4, 0.5]}, "`counterexample.lrs` has 5 values and must have at most 4"),
        ({"grid": 40}, "`counterexample.grid` is 40; it must be at most 16"),
        ({"threshold": 1.5}, "`counterexample.threshold` is 1.5; it must be less than 1"),
        ({"weight_decays": ["1e-2"]}, "`counterexample.weight_decays.0` is the text '1e-2', not a number"),
    ],
)
def test_a_mistake_in_the_settings_gives_a_one_line_error(tmp_path, block, message):
    assert mistake(tmp_path, block).startswith(message)


def test_the_embedded_study_has_enough_seeds():
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert read_config(values, []).counterexample.seeds >= 20
