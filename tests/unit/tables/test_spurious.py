"""Data sets with spurious features, and the table of average and worst-group accuracy."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_rel

from tests.support.images import drawn, read_split, save, settings_of
from tests.support.tables import Cells
from workflow_scripts import tabulate_spurious
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import holm
from workflow_scripts.timecat.probing.groups import groups_of
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables import spurious
from workflow_scripts.timecat.tables.predicted import Predicted


def test_the_shortcut_shows_the_label_only_in_training():
    """Light and label agree in 95 % of training rows and in half of the evaluation rows."""
    block = {"kind": "shortcut", "rows": {"train": 4000, "evaluation": 2000}}
    for split, agreement in (("train", 0.95), ("evaluation", 0.5)):
        made = read_split(settings_of(split, **block), split)
        light = made.groups["place"] == "light"
        assert np.mean(light == made.labels) == pytest.approx(agreement, abs=0.03)
        brightness = made.images.mean(axis=(1, 2, 3))
        assert brightness[light].mean() > brightness[~light].mean() + 10
        assert made.class_names == ["first", "second"] and made.labels.mean() == pytest.approx(0.5, abs=0.03)
    again = read_split(settings_of("evaluation", **block), "evaluation")
    assert np.array_equal(made.images, again.images)


def draw_waterbirds(root):
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for number, (label, split, place) in enumerate([(0, 0, 0), (1, 0, 1), (1, 0, 0), (0, 1, 1), (1, 2, 0), (0, 2, 1)]):
        name = f"{label:03d}.bird/image{number}.jpg"
        save(root / name, drawn(20, 24, number))
        lines.append(f"{number},{name},{label},{split},{place},x")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def draw_celeba(root, own_lists: bool):
    rows = [(-1, 0, 1), (1, 0, -1), (-1, 0, -1), (1, 1, 1), (-1, 2, 1), (1, 2, -1)]
    attributes, parts, both = ["image_id,Blond_Hair,Male"], ["image_id,partition"], ["image_id,Blond_Hair,Male,split"]
    for number, (blond, part, male) in enumerate(rows):
        name = f"{number:06d}.jpg"
        save(root / "img_align_celeba" / name, drawn(20, 16, number))
        attributes.append(f"{name},{blond},{male}")
        parts.append(f"{name},{part}")
        both.append(f"{name},{blond},{male},{part}")
    if own_lists:
        (root / "list_attr_celeba.csv").write_text("\n".join(attributes) + "\n")
        (root / "list_eval_partition.csv").write_text("\n".join(parts) + "\n")
    else:
        (root / "metadata.csv").write_text("\n".join(both) + "\n")
    return root


def photos(kind: str, root, split: str, **more):
    return read_split(settings_of(split, kind=kind, root=str(root), **more), split)


def test_waterbirds_has_the_rows_labels_and_places_of_its_list(tmp_path):
    root = draw_waterbirds(tmp_path)
    train, test = (photos("waterbirds", root, split) for split in ("train", "evaluation"))
    assert train.labels.tolist() == [0, 1, 1] and train.groups["place"].tolist() == ["land", "water", "land"]
    assert test.labels.tolist() == [1, 0] and test.class_names == ["landbird", "waterbird"]
    assert train.sources[1] == "001.bird/image1.jpg" and len(test[0]) == 2
    validation = photos("waterbirds", root, "train", train_split="val")
    assert validation.sources == ["000.bird/image3.jpg"]
    assert photos("waterbirds", root, "evaluation", evaluation_split="val").sources == validation.sources


def test_evaluation_settings_do_not_depend_on_training_rows():
    blocks = [{"kind": "waterbirds", "root": "data", "train_split": name} for name in ("train", "val")]
    assert settings_of("evaluation", **blocks[0]) == settings_of("evaluation", **blocks[1])
    assert settings_of("train", **blocks[0]) != settings_of("train", **blocks[1])


@pytest.mark.parametrize("own_lists", [True, False])
def test_celeba_is_read_from_its_lists_or_from_one_file(tmp_path, own_lists):
    root = draw_celeba(tmp_path, own_lists)
    train, test = (photos("celeba", root, split) for split in ("train", "evaluation"))
    assert train.labels.tolist() == [0, 1, 0] and train.groups["male"].tolist() == ["yes", "no", "no"]
    assert test.labels.tolist() == [0, 1] and test.class_names == ["not_blond", "blond"]
    assert train.sources[0] == "img_align_celeba/000000.jpg" and len(test[0]) == 2


def edit(path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "metadata.csv").unlink(), "there is no .*metadata.csv; correct the data set's `root`"),
        (lambda root: edit(root / "metadata.csv", "place,", "palce,"), "has no column place; use the file"),
        (
            lambda root: edit(root / "metadata.csv", ",1,0,1,x", ",7,0,1,x"),
            "column y has the value '7', which must be one of 0, 1",
        ),
        (lambda root: edit(root / "metadata.csv", ",0,1,1,x", ",0,2,1,x"), "has no row with split 1"),
        (lambda root: (root / "metadata.csv").write_text("img_filename,y,split,place\n"), "has no rows"),
        (lambda root: (root / "metadata.csv").write_text("img_filename,y,split,place\na.jpg,1\n"), "row 0 has too few"),
    ],
)
def test_mistakes_in_lists_are_reported(tmp_path, break_it, message):
    root = draw_waterbirds(tmp_path)
    break_it(root)
    with pytest.raises(UserError, match=message):
        photos("waterbirds", root, "train")
        photos("waterbirds", root, "train", train_split="val")


def test_an_image_missing_from_celebas_partition_is_reported(tmp_path):
    root = draw_celeba(tmp_path, own_lists=True)
    edit(root / "list_eval_partition.csv", "000002.jpg,0\n", "")
    with pytest.raises(UserError, match="list_eval_partition.csv has no row for 000002.jpg"):
        photos("celeba", root, "train")


# --- the table ---

ARMS = [
    {"name": "probed", "members": 1, "steps": 4, "transfer": "probe", "published": {"birds": 74.9}},
    {"name": "again", "members": 1, "steps": 4, "transfer": "reweight"},
    {"name": "two", "members": 2, "steps": 2, "transfer": "probe"},
]
BIRDS = {"name": "birds", "title": "birds", "in_distribution": True, "views": 1}
PLACES = ["land"] * 20 + ["water"] * 20  # the labels 0 and 1 alternate, which gives four groups of ten
SEEDS = [(1,), (2,), (3,)]
# Correct rows out of ten in each group (0, land), (1, land), (0, water), (1, water), for three replicates.
RIGHT = {"probed": [(9, 9, 1, 9), (9, 9, 3, 9), (9, 2, 8, 9)], "again": [(8, 8, 6, 8), (8, 8, 8, 7), (8, 7, 8, 8)]}
FLOORS = {
    "probed": [(5, 5, 0, 5), (5, 5, 1, 5), (5, 5, 0, 5)],
    "again": [(5, 5, 1, 5), (5, 5, 0, 5), (5, 5, 1, 5)],
}


def hits(right: tuple[int, ...]) -> list[int]:
    """Return whether each row is right (1 or 0), where the first rows of each group are right."""
    first, second, third, fourth = ([i < number for i in range(10)] for number in right)
    return np.ravel([list(zip(first, second)), list(zip(third, fourth))]).astype(int).tolist()


@pytest.fixture
def cells(tmp_path) -> Cells:
    made = Cells(tmp_path, rows=40)
    for arm, right in RIGHT.items():
        made.add(arm, "birds", {seeds: hits(each) for seeds, each in zip(SEEDS, right)})
    made.add("two", "birds", {(1, 2): hits((9, 9, 5, 9))})
    return made


def made(cells: Cells, monkeypatch) -> dict[str, str]:
    """Run the stage and return the text of its outputs by name."""
    index = {"row": range(40), "label": cells.labels, "place": PLACES}
    pq.write_table(pa.table({name: list(values) for name, values in index.items()}), cells.folder / "index.parquet")
    told = {"arms": ARMS, "data-sets": [BIRDS], "style": {"width_per_panel": 2, "height": 2}, "groups": ["place"]}
    outputs = {name: cells.folder / f"spurious.{name}" for name in ("csv", "contrasts", "markdown", "svg")}
    options = [text for name, value in told.items() for text in (f"--{name}", json.dumps(value))]
    options += [text for name, path in outputs.items() for text in (f"--{name}", str(path))]
    options += ["--indices", str(cells.folder / "index.parquet"), "--baseline", "probed"]
    monkeypatch.setattr("sys.argv", ["tabulate_spurious", *cells.options, *options])
    tabulate_spurious.main()
    return {name: path.read_text() for name, path in outputs.items()}


def lines_of(text: str, **wanted: str) -> list[dict[str, str]]:
    found = csv.DictReader(io.StringIO(text))
    return [line for line in found if all(line[key] == value for key, value in wanted.items())]


def worst(right: list[tuple[int, ...]]) -> list[float]:
    return [10.0 * min(each) for each in right]


def test_the_csv_has_average_and_worst_group_accuracy(cells, monkeypatch):
    lines = lines_of(made(cells, monkeypatch)["csv"], selection="holdout")
    probed, again, _ = lines
    assert (probed["method"], probed["worst_group"], probed["worst_group_published"]) == ("probed", "20.000", "74.9")
    assert float(probed["worst_group_std"]) == pytest.approx(10)
    assert float(probed["average"]) == pytest.approx(100 * np.mean(RIGHT["probed"]) / 10, abs=1e-3)
    assert (again["transfer"], again["replicates"], again["worst_group"]) == ("reweight", "3", "66.667")


def test_contrasts_of_both_quantities_are_paired_by_seeds(cells, monkeypatch):
    text = made(cells, monkeypatch)["contrasts"]
    averages = {arm: [100 * np.mean(each) / 10 for each in right] for arm, right in RIGHT.items()}
    for quantity, own, base in (
        ("worst_group", worst(RIGHT["again"]), worst(RIGHT["probed"])),
        ("average", averages["again"], averages["probed"]),
    ):
        (line,) = lines_of(text, arm="again", data_set=f"birds.{quantity}", selection="holdout")
        expected = ttest_rel(own, base)
        ends = expected.confidence_interval(0.95)
        found = [float(line[key]) for key in ("mean", "low", "high", "p")]
        difference = float(np.mean(own) - np.mean(base))
        assert found == pytest.approx([difference, ends.low, ends.high, expected.pvalue], abs=1e-3)
    lines = [line for line in lines_of(text, selection="holdout") if line["p"]]
    assert {line["arm"] for line in lines} == {"again"}, "arm two has one replicate"
    expected = holm([float(line["p"]) for line in lines])
    assert [float(line["p_holm"]) for line in lines] == pytest.approx(expected, rel=1e-3), (
        "one family with the source and both quantities"
    )


def test_the_error_over_rows_of_a_worst_group_comes_from_its_rows(cells, monkeypatch):
    """The worst group has ten of forty rows: five are right in arm `two`, one and three in its paired replicates."""
    (line,) = lines_of(
        made(cells, monkeypatch)["contrasts"], arm="two", data_set="birds.worst_group", selection="holdout"
    )
    assert line["low"] == "" and line["mean"] == "30.000"
    differences = np.arange(10) < 5, (np.arange(10) < 1) / 2 + (np.arange(10) < 3) / 2
    error = 100 * (differences[0] - differences[1]).std() / np.sqrt(10)
    assert float(line["row_se"]) == pytest.approx(error, rel=0.02)


def test_worst_group_influences_equal_influences_on_its_mean():
    groups = np.repeat([0, 1], [10, 30])
    right = np.concatenate([np.arange(10) < 4, np.arange(30) < 20])
    influences = spurious.worst_group_influences(right, groups)
    assert influences.sum() == pytest.approx(0) and not influences[10:].any()
    assert influences.std() / np.sqrt(40) == pytest.approx(right[:10].std() / np.sqrt(10))


def test_both_quantities_have_floors(cells, monkeypatch):
    for arm, right in FLOORS.items():
        cells.add(arm, "birds", {seeds: hits(each) for seeds, each in zip(SEEDS, right)}, kind="floor")
    cells.add("", "birds", {(1,): hits((5, 5, 2, 5))}, kind="projection")
    found = made(cells, monkeypatch)
    probed = lines_of(found["csv"], selection="holdout")[0]
    assert (probed["worst_group_floor"], probed["worst_group_projection"]) == ("3.333", "20.000")
    assert float(probed["average_floor"]) == pytest.approx(100 * np.mean(FLOORS["probed"]) / 10, abs=1e-3)
    assert probed["worst_group_ceiling"] == "" and probed["worst_group_verdict"] == "informative"
    assert "(74.9, floor 3.3)" in found["markdown"] and "20.0 % on birds: worst group" in found["markdown"]
    kinds = {line["kind"] for line in lines_of(found["contrasts"])}
    assert kinds == {"gain", "floor", "floor_gain", "excess"}


def test_csv_markdown_and_figure_have_the_expected_contents(cells, monkeypatch):
    found = made(cells, monkeypatch)
    lines = lines_of(found["csv"])
    assert len(lines) == 3 * 2 and not any("floor" in key for key in lines[0])
    text = found["markdown"]
    assert "| method | members × steps | n | birds: average | birds: worst group |" in text.splitlines()
    assert "| probed | 1 × 4 | 3 | 71.67 ± 2.89 | 20.00 ± 10.00 (74.9) |" in text.splitlines()
    assert "accuracy minus that of probed, in percentage points" in text and "loor" not in text
    assert "**two**: no interval over seeds (one replicate)." in text
    assert "treats the worst group as known" in text and "deep feature reweighting" in text
    ElementTree.fromstring(found["svg"])
    assert made(cells, monkeypatch)["svg"] == found["svg"]


def test_predictions_of_different_rows_are_refused():
    groups = {"birds": (np.arange(40)[::-1], np.zeros(40, int))}
    predicted = Predicted(np.arange(40), np.zeros(40, int), np.zeros(40, int))
    with pytest.raises(UserError, match="predictions on 'birds' do not match the rows of its index"):
        spurious.measure_by(groups)("birds", predicted)


def test_groups_combine_the_label_with_the_group_columns():
    index = pa.table({"label": [0, 0, 1, 1], "place": ["a", "b", "a", "a"], "row": [0, 1, 2, 3]})
    assert groups_of(index, ["place"], "it").tolist() == [0, 1, 2, 2]
    with pytest.raises(UserError, match="reweight.groups: it has no column 'hue' .it has label, place, row.: correct"):
        groups_of(index, ["hue"], "it")


def test_a_study_passes_predictions_indices_and_features_to_the_stages():
    values = {
        "backbone": "small",
        "source": "digits",
        "targets": ["digits"],
        "data_sets": {
            "digits": {"kind": "digits"},
            "biased": {"kind": "shortcut", "rows": {"train": 100, "evaluation": 50}},
            "even": {"kind": "part", "of": "biased", "balanced_by": ["class_name", "place"]},
        },
        "backbones": {"small": {"architecture": "small_residual"}},
        "pretrain": {"seeds": [1, 2]},
        "arms": [{"name": "cat1", "members": 1, "steps": 4}],
        "spurious": {
            "source": "biased",
            "targets": ["biased", "even"],
            "arms": [{"name": "again", "members": 1, "steps": 4, "transfer": "reweight"}],
        },
    }
    made = Study(read_config(values, []))
    assert made.inputs.predictions(TableKey("spurious")) == [
        f"results/reweightings/biased/{name}/again.predictions.parquet" for name in ("biased", "even")
    ]
    assert made.inputs.evaluation_indices(TableKey("spurious")) == [
        f"results/data_sets/{name}/evaluation.index.parquet" for name in ("biased", "even")
    ]
    assert made.patterns["reweighted_arm"].split("|")[0] == "again" and made.patterns["transferred_arm"] == "(?!)"
    assert made.inputs.feature_folders(made.arms.cell("again", "even"))[1] == (
        "results/features/biased/small/seed2/step4/even"
    )
    assert "results/spurious.csv" in made.inputs.tables_with_a_block()
