"""Tables of gaps: metrics of predictions, contrasts, floors and ceilings, and outputs."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_ind, ttest_rel

from tests.support.tables import Cells, arm_of, arms_of
from workflow_scripts import tabulate_gap
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Replicate, contrast, holm
from workflow_scripts.timecat.measures.metrics import matthews_correlation
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables import gap
from workflow_scripts.timecat.tables.figures.gap import _looks

ARMS = [
    {"name": "long", "members": 1, "steps": 8, "transfer": "probe", "published": {"a": 81.5}},
    {"name": "two", "members": 2, "steps": 4, "transfer": "probe"},
    {"name": "alone", "members": 1, "steps": None, "transfer": "direct"},
    {"name": "own", "members": 1, "steps": 8, "transfer": "probe", "on_target": True},
]
COMPONENTS = [{"name": name, "title": f"part {name}", "in_distribution": False, "views": 1} for name in "ab"]
SEEDS = [(1,), (2,), (3,), (4,)]
# Seeds differ by ten points or more, but an arm's differences from `alone` vary by only one or two points.
ALONE = {"a": [60, 70, 80, 90], "b": [50, 70, 60, 80]}
DIFFERENCES = {
    "long": {"a": [-9, -11, -10, -10], "b": [-20, -19, -17, -20]},
    "own": {"a": [-1, 1, 0.5, -0.5], "b": [-3, -5, -4, -4]},
}


def values(arm: str, component: str) -> list[float]:
    direct = ALONE[component]
    return [x + d for x, d in zip(direct, DIFFERENCES.get(arm, {}).get(component, [0] * len(direct)))]


@pytest.fixture
def cells(tmp_path) -> Cells:
    """Cells of four replicates of single networks, and of one replicate with two members."""
    made = Cells(tmp_path, shift=1)
    for arm in ("long", "alone", "own"):
        for component in "ab":
            made.add(arm, component, dict(zip(SEEDS, values(arm, component))))
    for component in "ab":
        made.add("two", component, {(1, 2): 75.0})
    return made


def with_floors(cells: Cells, floors=(20.0, 21.0, 20.5, 19.5)) -> Cells:
    for component in "ab":
        for arm in ("long", "own"):
            cells.add(arm, component, dict(zip(SEEDS, floors)), kind="floor")
        cells.add("", component, {(1,): 33.0}, kind="projection")
    return cells


def made(cells: Cells, monkeypatch, metric: str = "accuracy") -> dict[str, str]:
    """Run the stage and return the text of its outputs by name."""
    told = {"arms": ARMS, "data-sets": COMPONENTS, "style": {"width_per_panel": 2, "height": 2}}
    outputs = {name: cells.folder / f"gap.{name}" for name in ("csv", "contrasts", "markdown", "svg")}
    options = [text for name, value in told.items() for text in (f"--{name}", json.dumps(value))]
    options += [text for name, path in outputs.items() for text in (f"--{name}", str(path))]
    monkeypatch.setattr("sys.argv", ["tabulate_gap", *cells.options, *options, "--metric", metric])
    tabulate_gap.main()
    return {name: path.read_text() for name, path in outputs.items()}


def lines_of(text: str, **wanted: str) -> list[dict[str, str]]:
    found = csv.DictReader(io.StringIO(text))
    return [line for line in found if all(line[key] == value for key, value in wanted.items())]


def line_of(text: str, **wanted: str) -> dict[str, str]:
    (found,) = lines_of(text, **wanted)
    return found


# --- contrasts ---


def test_a_gap_is_the_arm_minus_direct_training_of_the_same_seeds(cells, monkeypatch):
    """The contrast's interval is narrow although seeds are ten points apart, and agrees with SciPy's paired t."""
    line = line_of(made(cells, monkeypatch)["contrasts"], kind="gain", arm="long", data_set="a", selection="holdout")
    assert (line["mean"], line["baseline"], line["interval"], line["seeds"]) == ("-10.000", "alone", "t", "4")
    expected = ttest_rel(values("long", "a"), ALONE["a"])
    ends = expected.confidence_interval(0.95)
    assert (float(line["low"]), float(line["high"])) == pytest.approx((ends.low, ends.high), abs=1e-3)
    assert float(line["p"]) == pytest.approx(expected.pvalue, rel=1e-3)
    assert ends.high - ends.low < 3


def test_contrasts_agree_with_the_contrast_module(cells, monkeypatch):
    """There are contrasts on each component and on the mean over components."""
    text = made(cells, monkeypatch)["contrasts"]
    for arm, kind, baseline in (("long", "gain", "alone"), ("own", "gain", "alone"), ("long", "on_target", "own")):
        for component in ("a", "b", "mean"):
            own, other = (
                [
                    Replicate(seeds, value)
                    for seeds, value in zip(
                        SEEDS,
                        np.mean([values(name, each) for each in "ab"], axis=0)
                        if component == "mean"
                        else values(name, component),
                    )
                ]
                for name in (arm, baseline)
            )
            expected = contrast(own, other)
            line = line_of(text, kind=kind, arm=arm, data_set=component, selection="holdout")
            assert line["baseline"] == baseline
            found = [float(line[key]) for key in ("mean", "low", "high", "se")]
            assert found == pytest.approx([expected.mean, *expected.interval, expected.error], abs=6e-4)


def test_arms_that_share_no_seeds_are_compared_as_two_samples(tmp_path, monkeypatch):
    cells = Cells(tmp_path)
    others = [(5,), (6,), (7,)]
    for component in "ab":
        cells.add("long", component, dict(zip(others, (70.0, 71.0, 75.0))))
        cells.add("alone", component, dict(zip(SEEDS, ALONE[component])))
        cells.add("own", component, dict(zip(SEEDS, ALONE[component])))
        cells.add("two", component, {(1, 2): 75.0})
    found = made(cells, monkeypatch)
    line = line_of(found["contrasts"], kind="gain", arm="long", data_set="a", selection="holdout")
    expected = ttest_ind([70, 71, 75], ALONE["a"], equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert line["interval"] == "unpaired"
    assert (float(line["low"]), float(line["high"])) == pytest.approx((ends.low, ends.high), abs=1e-3)
    assert "**long**: too few seeds in common with **alone** to be paired" in found["markdown"]


def test_an_arm_with_too_few_seeds_has_no_interval(cells, monkeypatch):
    """An error over rows remains, and a note gives the reason."""
    found = made(cells, monkeypatch)
    line = line_of(found["contrasts"], kind="gain", arm="two", data_set="a", selection="holdout")
    assert line["low"] == line["p"] == "" and line["no_interval_because"] == "one replicate"
    assert float(line["row_se"]) > 0
    assert "**two**: no interval over seeds (one replicate)." in found["markdown"]


def test_p_values_are_adjusted_over_all_contrasts_of_a_selection(cells, monkeypatch):
    text = made(cells, monkeypatch)["contrasts"]
    lines = [line for line in lines_of(text, selection="holdout") if line["p"]]
    assert len(lines) == 3 * 3, "long and own minus alone, and long minus own, on two components and on their mean"
    expected = holm([float(line["p"]) for line in lines])
    assert [float(line["p_holm"]) for line in lines] == pytest.approx(expected, rel=1e-3)


def test_the_error_over_rows_of_the_mean_treats_components_as_independent(cells, monkeypatch):
    text = made(cells, monkeypatch)["contrasts"]
    errors = {
        line["data_set"]: float(line["row_se"]) for line in lines_of(text, kind="gain", arm="long", selection="holdout")
    }
    assert errors["mean"] == pytest.approx(np.hypot(errors["a"], errors["b"]) / 2, rel=0.005)


def test_components_of_different_sizes_have_equal_weight_in_their_mean(tmp_path, monkeypatch):
    """The error of the mean of 50 and 200 rows is half the root of the sum of the components' squared errors."""
    cells = Cells(tmp_path)
    for component, rows in (("a", 50), ("b", 200)):
        cells.labels = np.arange(rows) % 2
        for arm, percent in (("long", 60.0), ("alone", 80.0), ("own", 70.0)):
            cells.add(arm, component, {(1,): percent})
        cells.add("two", component, {(1, 2): 75.0})
    text = made(cells, monkeypatch)["contrasts"]
    errors = {
        line["data_set"]: float(line["row_se"]) for line in lines_of(text, kind="gain", arm="long", selection="holdout")
    }
    assert errors["a"] == pytest.approx(2 * errors["b"], rel=0.02)
    assert errors["mean"] == pytest.approx(np.hypot(errors["a"], errors["b"]) / 2, rel=0.02)


def test_the_error_over_rows_of_matthews_correlation_agrees_with_the_jackknife(cells, monkeypatch):
    text = made(cells, monkeypatch, metric="mcc")["contrasts"]
    rows, labels = len(cells.labels), cells.labels

    def correlations(percents: list[float]) -> np.ndarray:
        """Return the mean correlation over replicates without one row, for each row."""
        said = [np.where(np.arange(rows) < round(rows * percent / 100), labels, 1 - labels) for percent in percents]
        kept = [np.arange(rows) != row for row in range(rows)]
        return np.array([np.mean([matthews_correlation(labels[k], each[k]) for each in said]) for k in kept])

    differences = correlations(values("long", "a")) - correlations(ALONE["a"])
    jackknife = np.sqrt((rows - 1) / rows * ((differences - differences.mean()) ** 2).sum())
    line = line_of(text, kind="gain", arm="long", data_set="a", selection="holdout")
    assert float(line["row_se"]) == pytest.approx(jackknife, rel=0.02)


def test_an_arm_is_compared_with_direct_training_of_the_same_size():
    arms, four = arms_of(ARMS), arm_of(name="alone2", members=2, steps=None, transfer="direct")
    names = {kind: arm.name for kind, arm in gap.baselines_of(arms[1], [*arms, four]).items()}
    assert names == {"gain": "alone2", "on_target": "own"}
    assert gap.baselines_of(arms[1], arms)["gain"].name == "alone"
    with pytest.raises(UserError, match="needs an arm with .transfer: direct."):
        gap.baselines_of(arms[0], arms[:2])


def test_an_arm_is_compared_with_equally_long_pretraining_on_the_target():
    arms = arms_of(ARMS)
    short = arm_of(name="own_short", members=1, steps=4, on_target=True)
    assert gap.baselines_of(arms[0], [*arms[:3], short, arms[3]])["on_target"].name == "own"
    assert gap.baselines_of(arms[3], arms) == {"gain": arms[2]}, (
        "an arm pretrained on the target is compared with direct training"
    )
    assert gap.baselines_of(arms[2], arms) == {}


def test_different_replicates_on_some_components_are_refused(cells, monkeypatch):
    cells.cells = [cell for cell in cells.cells if (cell["arm"], cell["data_set"]) != ("long", "b")]
    cells.add("long", "b", {(2,): 50, (1,): 60, (3,): 55, (4,): 50})
    with pytest.raises(UserError, match="arm 'long' has different replicates on some components"):
        made(cells, monkeypatch)


# --- floors and ceilings ---


def test_the_csv_has_floor_projection_and_ceiling_of_the_metric(cells, monkeypatch):
    found = made(with_floors(cells), monkeypatch)
    line = line_of(found["csv"], method="long", component="a", selection="holdout")
    assert (line["floor"], line["projection"], line["verdict"]) == ("20.250", "33.000", "informative")
    best = max(np.mean(ALONE["a"]), np.mean(values("own", "a")))
    assert float(line["ceiling"]) == pytest.approx(best), "the best of the arms that are trained on the component alone"
    mean = line_of(found["csv"], method="own", component="mean", selection="holdout")
    assert (mean["floor"], mean["projection"]) == ("20.250", "33.000")
    direct = line_of(found["csv"], method="alone", component="a", selection="holdout")
    assert direct["floor"] == "" and direct["ceiling"] == line["ceiling"]
    assert "(81.5, floor 20.2)" in found["markdown"] and "33.0 % on part a" in found["markdown"]


def test_a_component_on_which_untrained_networks_are_as_good_is_uninformative(cells, monkeypatch, capfd):
    """Trained networks are close to their floors, and direct training is far above them."""
    cells = Cells(cells.folder)
    for component in "ab":
        cells.add("alone", component, dict(zip(SEEDS, (85, 86, 84, 85))))
        cells.add("two", component, {(1, 2): 75.0})
        for arm in ("long", "own"):
            cells.add(arm, component, dict(zip(SEEDS, (60, 61, 60, 61))))
            cells.add(arm, component, dict(zip(SEEDS, (60, 60, 60.5, 60.5))), kind="floor")
    found = made(cells, monkeypatch)
    assert {line["verdict"] for line in lines_of(found["csv"])} == {"uninformative"}
    assert "**part a** is uninformative: the largest advantage of trained over untrained" in found["markdown"]
    assert "**mean** is" not in found["markdown"], "the mean is not a target"
    assert "part b is uninformative" in capfd.readouterr().err


def test_without_floors_the_table_does_not_mention_them(cells, monkeypatch):
    found = made(cells, monkeypatch)
    assert not {"floor", "projection", "ceiling", "verdict"} & lines_of(found["csv"])[0].keys()
    assert "loor" not in found["markdown"] and "eiling" not in found["markdown"]


# --- outputs ---


def test_the_csv_has_a_line_per_arm_component_and_selection(cells, monkeypatch):
    text = made(cells, monkeypatch)["csv"]
    assert len(lines_of(text)) == 4 * 3 * 2
    line = line_of(text, method="long", component="a", selection="holdout")
    assert (line["accuracy"], line["replicates"], line["accuracy_published"]) == ("65.000", "4", "81.5")
    assert (line["minus_direct"], line["compared_with"]) == ("-10.000", "alone")
    assert float(line["minus_direct_low"]) < -10 < float(line["minus_direct_high"])
    mean = line_of(text, method="long", component="mean", selection="paper")
    assert float(mean["accuracy"]) == pytest.approx((65 + 46) / 2 + 0.5), "one more row of 200 is right"
    alone = line_of(text, method="alone", component="a", selection="holdout")
    assert alone["minus_direct"] == alone["steps_per_member"] == alone["compared_with"] == ""


def test_the_markdown_has_metrics_contrasts_and_notes(cells, monkeypatch):
    lines = made(cells, monkeypatch)["markdown"].splitlines()
    assert "| method | members × steps | n | part a | part b | mean |" in lines
    assert "| long | 1 × 8 | 4 | 65.00 ± 12.68 (81.5) | 46.00 ± 12.73 | 55.50 ± 12.06 |" in lines
    text = "\n".join(lines)
    assert "metric minus that of direct training (alone), in percentage points" in text
    assert "metric minus that of pretraining on the component itself (own), in percentage points" in text
    assert "| own | 4 | 4 | +0.00 (" in text and "| two | 2 | 1 | " in text
    assert "(**own**) has the optimiser and length of pretraining on the mixture" in text
    assert "**own**: pretrained on each target itself" in text and "direct training of the same network" in text


def test_arms_trained_on_a_component_alone_are_grey_with_different_markers():
    arms = [*ARMS, {"name": "shorter", "members": 1, "steps": None, "transfer": "direct"}]
    looks = _looks(arms_of(arms))
    assert len(set(looks.values())) == len(arms) and looks["alone"][1] != looks["shorter"][1]
    assert all(looks[name][0].startswith("0.") for name in ("alone", "own", "shorter"))


def test_the_figure_has_the_same_bytes_in_two_runs(cells, monkeypatch):
    svg = made(with_floors(cells), monkeypatch)["svg"]
    ElementTree.fromstring(svg)
    assert made(cells, monkeypatch)["svg"] == svg


def test_predictions_with_different_replicates_or_rows_are_refused(cells, monkeypatch):
    path = cells.folder / "long.a.predictions"
    whole = pq.read_table(path)
    pq.write_table(whole.slice(0, whole.num_rows // 2), path)
    with pytest.raises(UserError, match=f"{path}: has no row for selection holdout; delete it and run again"):
        made(cells, monkeypatch)
    pq.write_table(whole.filter(pc.field("replicate") > 0), path)
    with pytest.raises(UserError, match=rf"{path}: has 3 replicates \(its metrics have 4\) for selection paper"):
        made(cells, monkeypatch)
    place = whole.column_names.index("row")
    pq.write_table(whole.set_column(place, "row", pc.add(whole["row"], 1)), path)
    with pytest.raises(UserError, match="its rows differ from those of other arms on 'a'"):
        made(cells, monkeypatch)


def test_different_numbers_of_files_and_cells_are_refused(cells, monkeypatch):
    options = with_floors(cells).options
    monkeypatch.setattr(Cells, "options", options[: options.index("--reference-predictions")])
    with pytest.raises(UserError, match="--reference-predictions names 0 files and --reference-cells 6 cells"):
        made(cells, monkeypatch)


def test_components_of_cues_differ_in_the_cue_of_the_class():
    """A component's cue always shows the class. Another cue shows it at the rate of `agreement` plus chance."""
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
    assert np.array_equal(alone.groups["cue3"], mixture.groups["cue3"]), "the same draws as in the mixture"


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


def test_a_study_passes_predictions_arms_and_metric_to_the_stage():
    made, w = Study(read_config(CONFIG, [])), TableKey("gap")
    assert made.inputs.predictions(w) == [
        "results/probes/mixture/part/cat1.predictions.parquet",
        "results/transfers/mixture/part/alone.predictions.parquet",
    ]
    assert [arm["transfer"] for arm in json.loads(made.table_params.rows(w))] == ["probe", "direct"]
    assert made.table_params.metric(w) == "accuracy" and made.patterns["gap_table"] == "gap|genomics"
    with pytest.raises(UserError, match="has no block `genomics`; add it to the config"):
        made.table_params.metric(TableKey("genomics"))


def test_mistakes_in_blocks_of_gaps_are_reported():
    with pytest.raises(
        UserError, match="`data_sets.mixture.components`|components: with `label: cue0` there are no classes"
    ):
        mixture = CONFIG["data_sets"]["mixture"] | {"label": "cue0"}
        read_config(CONFIG | {"data_sets": CONFIG["data_sets"] | {"mixture": mixture}}, [])
    with pytest.raises(UserError, match="`gap`: no arm has `transfer: direct`"):
        read_config(CONFIG | {"gap": {"targets": ["part"], "arms": ["cat1"]}}, [])
