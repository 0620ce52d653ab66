"""Data sets with spurious features, and the table of worst groups."""

import csv
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.images import drawn, read_split, save, settings_of
from tests.support.tables import arms_of, data_sets_of, style_of
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.groups import groups_of
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables import spurious
from workflow_scripts.timecat.tables.figures.spurious import spurious_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import short_markdown_text


def test_the_shortcut_agrees_in_training_and_says_nothing_afterwards():
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


def test_waterbirds(tmp_path):
    root = draw_waterbirds(tmp_path)
    train, test = (photos("waterbirds", root, split) for split in ("train", "evaluation"))
    assert train.labels.tolist() == [0, 1, 1] and train.groups["place"].tolist() == ["land", "water", "land"]
    assert test.labels.tolist() == [1, 0] and test.class_names == ["landbird", "waterbird"]
    assert train.sources[1] == "001.bird/image1.jpg" and len(test[0]) == 2
    validation = photos("waterbirds", root, "train", train_split="val")
    assert validation.sources == ["000.bird/image3.jpg"]
    assert photos("waterbirds", root, "evaluation", evaluation_split="val").sources == validation.sources


def test_which_rows_train_is_nothing_to_those_for_evaluation():
    blocks = [{"kind": "waterbirds", "root": "data", "train_split": name} for name in ("train", "val")]
    assert settings_of("evaluation", **blocks[0]) == settings_of("evaluation", **blocks[1])
    assert settings_of("train", **blocks[0]) != settings_of("train", **blocks[1])


@pytest.mark.parametrize("own_lists", [True, False])
def test_celeba(tmp_path, own_lists):
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
        (lambda root: edit(root / "metadata.csv", ",1,0,1,x", ",7,0,1,x"), "y is '7' in a row; it must be one of 0, 1"),
        (lambda root: edit(root / "metadata.csv", ",0,1,1,x", ",0,2,1,x"), "has no row of the split that is 1"),
        (lambda root: (root / "metadata.csv").write_text("img_filename,y,split,place\n"), "has no rows"),
        (lambda root: (root / "metadata.csv").write_text("img_filename,y,split,place\na.jpg,1\n"), "row 0 has too few"),
    ],
)
def test_mistakes_of_lists_are_said(tmp_path, break_it, message):
    root = draw_waterbirds(tmp_path)
    break_it(root)
    with pytest.raises(UserError, match=message):
        photos("waterbirds", root, "train")
        photos("waterbirds", root, "train", train_split="val")


def test_an_image_that_celebas_partition_lacks_is_said(tmp_path):
    root = draw_celeba(tmp_path, own_lists=True)
    edit(root / "list_eval_partition.csv", "000002.jpg,0\n", "")
    with pytest.raises(UserError, match="list_eval_partition.csv has no row of 000002.jpg"):
        photos("celeba", root, "train")


# --- the table ---

ARMS = [
    {"name": "probed", "members": 1, "steps": 4, "transfer": "probe", "published": {"birds": 74.9}},
    {"name": "again", "members": 1, "steps": 4, "transfer": "reweight"},
]
DATA_SETS = data_sets_of([{"name": "birds", "title": "birds", "in_distribution": True, "views": 1}])
ROWS = np.arange(8)
GROUPS = np.array([0, 0, 1, 1, 2, 2, 3, 3])
HITS = {"probed": [[1, 1, 1, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1, 0, 0]], "again": [[1] * 8, [1] * 8]}


def written(folder, arm: str):
    columns = {"selection": [], "replicate": [], "row": [], "label": [], "predicted": []}
    for selection in ("paper", "holdout"):
        for replicate, hits in enumerate(HITS[arm]):
            columns["selection"] += [selection] * 8
            columns["replicate"] += [replicate] * 8
            columns["row"] += ROWS.tolist()
            columns["label"] += [1] * 8
            columns["predicted"] += hits
    path = folder / f"{arm}.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def rows(tmp_path):
    measured = {(name, "birds"): spurious.measure(written(tmp_path, name), ROWS, GROUPS) for name in HITS}
    return spurious.spurious_rows(measured, arms_of(ARMS), DATA_SETS)


def test_worst_groups(rows, tmp_path):
    worst = rows[0].summaries["birds", "worst_group", "holdout"]
    assert (worst.mean, worst.n) == (25.0, 2) and worst.std == pytest.approx(50 / np.sqrt(2))
    assert rows[0].summaries["birds", "average", "paper"].mean == pytest.approx(100 * 13 / 16)
    with pytest.raises(UserError, match="rows of replicate 0, selection paper, are not the data set's"):
        spurious.measure(tmp_path / "again.parquet", ROWS[::-1], GROUPS)


def test_what_is_written(rows):
    lines = list(csv.DictReader(io.StringIO(csv_text(spurious.spurious_records(rows, DATA_SETS)))))
    assert len(lines) == 4 and lines[0]["worst_group"] == "25.000" and lines[0]["worst_group_published"] == "74.9"
    assert (lines[2]["method"], lines[2]["transfer"], lines[2]["average"]) == ("again", "reweight", "100.000")
    text = short_markdown_text(spurious.spurious_table(rows, DATA_SETS))
    assert "| probed | 1 × 4 | 2 | 81.25 ± 8.84 | 25.00 ± 35.36 (74.9) |" in text.splitlines()
    assert "deep feature reweighting" in text
    style = style_of({"width_per_panel": 2, "height": 2})
    svg = spurious_figure(rows, DATA_SETS, style)
    ElementTree.fromstring(svg)
    assert svg == spurious_figure(rows, DATA_SETS, style)


def test_groups_are_the_label_with_the_columns():
    index = pa.table({"label": [0, 0, 1, 1], "place": ["a", "b", "a", "a"], "row": [0, 1, 2, 3]})
    assert groups_of(index, ["place"], "it").tolist() == [0, 1, 2, 2]
    with pytest.raises(UserError, match="reweight.groups: it has no column 'hue' .it has label, place, row.; correct"):
        groups_of(index, ["hue"], "it")


def test_what_a_study_tells_the_stages():
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
