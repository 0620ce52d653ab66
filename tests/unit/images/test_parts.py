"""Test parts of data sets, and tables whose arms are not pretrained on the study's source."""

import json

import numpy as np
import pyarrow.parquet
import pytest
import yaml

from tests.support.images import draw_camelyon, draw_inaturalist, read_split, settings_of, write_data_set
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.ffcv.format import describe, read_image
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CheckpointKey, SplitKey, TableKey

STUDY = """
backbone: small
source: cues
targets: [cues]
data_sets:
  cues: {kind: cues, rows: {train: 300, evaluation: 80}, transform: {size: 24}}
  digits: {kind: digits}
  low: {kind: part, of: cues, where: {cue0: [0, 1, 2, "3"], class_name: [class03, class01, class07]}}
  even: {kind: part, of: cues, balanced_by: [class_name], subset_seed: 5, transform: {size: 20}}
backbones:
  small: {architecture: small_residual}
  wide: {architecture: small_residual, width: 16, pretrain: {label_smoothing: 0.0}}
pretrain: {seeds: [1, 2, 3, 4], batch_size: 64}
arms:
  - {name: cat1, members: 1, steps: 8}
gap:
  source: digits
  backbone: wide
  targets: [low, even]
  seeds: [1, 2]
  arms:
    - {name: long, members: 1, steps: 6}
    - {name: short, members: 2, steps: 3}
    - {name: alone, members: 1, transfer: direct}
    - {name: other, members: 1, steps: 5, source: cues, backbone: small}
"""


def study(old: str = "", new: str = "") -> Study:
    """Return STUDY, with one text replaced if it is given."""
    assert not old or STUDY.count(old) == 1
    return Study(read_config(yaml.safe_load(STUDY.replace(old, new) if old else STUDY), []))


def settings(name: str, split: str, made: Study | None = None) -> dict:
    return json.loads((made or study()).params.data_set(SplitKey(name, split)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with both splits of the data set `cues` and of its part `low`, written by the real stage."""
    folder = tmp_path_factory.mktemp("parts")
    for name in ("cues", "low"):
        for split in ("train", "evaluation"):
            probed = folder / "low/train.beton" if (name, split) == ("low", "evaluation") else None
            write_data_set(name, split, settings(name, split), folder / name, 1, probed)
    return folder


def index_of(beton) -> dict[str, list]:
    return pyarrow.parquet.read_table(str(beton).replace(".beton", ".index.parquet")).to_pydict()


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_a_part_has_the_selected_rows_of_its_parent_data_set(folder, split):
    whole, part = (index_of(folder / name / f"{split}.beton") for name in ("cues", "low"))
    chosen = [
        row
        for row in whole["row"]
        if whole["cue0"][row] in (0, 1, 2, 3) and whole["class_name"][row] in ("class01", "class03", "class07")
    ]
    assert part["source"] == [whole["source"][row] for row in chosen] and len(chosen) > 5
    assert part["cue2"] == [whole["cue2"][row] for row in chosen]
    names = ["class01", "class03", "class07"]
    names = [name for name in names if name in index_of(folder / "low/train.beton")["class_name"]]
    assert part["label"] == [names.index(whole["class_name"][row]) for row in chosen]
    assert read_sidecar(folder / "low" / f"{split}.beton")["classes"] == len(names)
    betons = [describe(folder / name / f"{split}.beton") for name in ("cues", "low")]
    for number, row in enumerate(chosen):
        assert np.array_equal(read_image(betons[1], number), read_image(betons[0], row))


def test_a_balanced_part_has_equally_many_rows_of_each_group():
    """Each group keeps as many rows as the rarest group of the parent data set has."""
    whole, part = (read_split(settings(name, "train"), "train") for name in ("cues", "even"))
    assert set(np.bincount(part.labels)) == {np.bincount(whole.labels).min()}
    again, other = (
        read_split(settings("even", "train", study("subset_seed: 5", f"subset_seed: {seed}")), "train")
        for seed in (5, 6)
    )
    assert part.sources == again.sources != other.sources
    assert [whole.sources.index(source) for source in part.sources] == sorted(map(whole.sources.index, part.sources))


def test_a_balanced_part_is_evaluated_on_all_rows():
    assert "balanced_by" not in settings("even", "evaluation") and "subset_seed" not in settings("even", "evaluation")
    assert settings("even", "train")["balanced_by"] == ["class_name"]


def test_a_part_without_a_transform_has_its_parents_transform():
    made = study()
    sizes = [made.data_sets.image_size(name) for name in ("cues", "low", "even")]
    assert sizes == [24, 24, 20]


def test_the_classes_of_a_part_come_from_its_training_rows():
    made = study()
    where = SplitKey("low", "evaluation")
    assert made.inputs.probed_sidecar(where) == ["results/data_sets/low/train.beton.json"]
    assert made.inputs.probed_index(where) == ["results/data_sets/low/train.index.parquet"]
    assert made.inputs.probed_sidecar(SplitKey("low", "train")) == []


def test_a_part_can_be_selected_by_hospital(tmp_path):
    """If the evaluation split is `id_val`, it has rows of the training hospitals of Camelyon17."""
    rows = [{"center": hospital, "split": split} for hospital in (0, 3, 4) for split in (0, 0, 1, 1)]
    root = draw_camelyon(tmp_path / "camelyon", [*rows, {"center": 2, "split": 0}])
    block = {"kind": "part", "where": {"center": [3]}, "balanced_by": []}
    classes = None
    for split in ("train", "evaluation"):
        own = {"kind": "camelyon17", "root": str(root), "evaluation_split": "id_val"}
        part = read_split(block | {"of": settings_of(split, **own)}, split, classes)
        classes = part.class_names
        assert len(part) == 2 and list(part.groups["center"]) == [3, 3] and set(part.labels) == {0, 1}


def test_a_part_can_be_selected_by_superclass(tmp_path):
    """If classes are named by paths, a superclass is the parent folder of a class's folder."""
    root = draw_inaturalist(tmp_path / "inat", ["Plantae/9", "Aves/10", "Aves/9"], ["Aves/9", "Plantae/9", "Aves/10"])
    block = {"kind": "part", "where": {"superclass": ["Aves"]}, "balanced_by": []}
    block["of"] = settings_of("train", kind="inaturalist18", root=str(root))
    birds = read_split(block, "train")
    assert birds.class_names == ["train_val2018/Aves/10", "train_val2018/Aves/9"] and birds.labels.tolist() == [0, 1]
    block["of"] = settings_of("evaluation", kind="inaturalist18", root=str(root))
    assert read_split(block, "evaluation", birds.class_names).labels.tolist() == [1, 0]
    with pytest.raises(UserError, match="the parent data set has no column 'superclass'"):
        read_split(settings("low", "train") | {"where": {"superclass": ["Aves"]}}, "train")


@pytest.mark.parametrize(
    ("name", "split", "changes", "message"),
    [
        (
            "low",
            "train",
            {"where": {"hue": ["red"]}},
            "`where`: the parent data set has no column 'hue', only class_name, cue0,",
        ),
        (
            "low",
            "train",
            {"where": {"cue0": [99]}},
            "matches no train row of the parent data set .key `of`.; correct `where`",
        ),
        ("even", "train", {"balanced_by": ["hue"]}, "`balanced_by`: the parent data set has no column 'hue'"),
        ("low", "evaluation", {"where": {}}, "class class00 has evaluation rows but no training rows"),
    ],
)
def test_mistakes_in_parts_are_refused(name, split, changes, message):
    with pytest.raises(UserError, match=message.replace("`", ".")):
        read_split(settings(name, split) | changes, split, ["class01", "class03"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "of: cues, where",
            "of: even, where",
            "`data_sets.low.of`: 'even' is not one of the data sets that can have parts",
        ),
        ("targets: [low, even]", "targets: [low, odd]", "`gap.targets`: 'odd' is not one of the data sets"),
        ("source: digits", "source: digit", "`gap.source`: 'digit' is not one of the data sets"),
        (
            "source: cues, backbone",
            "source: cue, backbone",
            "`arms`: source of 'other': 'cue' is not one of the data sets",
        ),
        (
            "gap:\n",
            "checkpoints: {path: 'a/{run}_{step}'}\ngap:\n",
            "seed|pretrained on",
        ),
    ],
)
def test_mistakes_in_sources_and_targets_are_refused(old, new, message):
    with pytest.raises(UserError, match=message):
        study(old, new)


def test_the_arms_of_a_table_use_its_source_and_backbone():
    made = study()
    w = TableKey("gap")
    assert made.inputs.metrics(w) == [
        *(f"results/probes/digits/{name}/long.parquet" for name in ("low", "even")),
        *(f"results/probes/digits/{name}/short.parquet" for name in ("low", "even")),
        *(f"results/transfers/digits/{name}/alone.parquet" for name in ("low", "even")),
        *(f"results/probes/cues/{name}/other.parquet" for name in ("low", "even")),
    ]
    assert made.inputs.feature_folders(made.arms.cell("short", "low")) == [
        f"results/features/digits/wide/seed{seed}/step3/low" for seed in (1, 2)
    ]
    assert made.chains.milestones == [5, 8] and made.chains.milestones_of("wide", "digits") == [3, 6]
    assert made.chains.milestones_of("wide") == [] and made.chains.milestones_of("small", "digits") == []
    previous = CheckpointKey("digits", "wide", 1, 6)
    assert made.inputs.previous_state(previous) == ["results/checkpoints/digits/wide/seed1/step3.state.pt"]
    assert [cell.data_set for cell in made.tables.cells("table2")] == ["cues"], "the cells of table 2 do not change"
    described = json.loads(made.table_params.columns(w))
    assert [each["name"] for each in described] == ["low", "even"] and made.table_params.image_size(w) == 28
    backbones = [arm.get("backbone", {}).get("name") for arm in json.loads(made.table_params.rows_with_networks(w))]
    assert backbones == [None, None, None, "small"], "rows with the table's backbone do not name it"
