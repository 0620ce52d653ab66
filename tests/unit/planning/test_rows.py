"""Tests of planned rows and bytes of existing and missing data sets, and of the table of throughputs."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.support.images import draw_image_folder, read_split, write_data_set
from tests.support.studies import ROOT
from workflow_scripts.timecat.config.data_sets import CAMELYON17
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.holdout import heldout_rows
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.planning.images import beton_bytes, image_bytes
from workflow_scripts.timecat.planning.original import images_of_cell, operations_of_cell
from workflow_scripts.timecat.planning.rows import RowsOf
from workflow_scripts.timecat.planning.throughputs import read_throughputs, speed
from workflow_scripts.timecat.planning.work import PlannedStudy
from workflow_scripts.timecat.study.study import Study

TINY = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
TABLE = ROOT / "config/throughputs.yaml"


def study(**data_sets) -> Study:
    return Study(Config.model_validate(TINY | {"data_sets": TINY["data_sets"] | data_sets}))


def rows(block: dict, given=None, root=".", **others):
    """Return (training, held-out, evaluation rows, classes, origin) of a data set with this block of the config."""
    found = RowsOf(study(it=block, **others), {"it": given} if given else None, root)["it"]
    return found.train, found.heldout, found.evaluation, found.classes, found.origin


def test_published_numbers_of_rows_are_known():
    """A `fraction` is taken from the published number of rows."""
    assert rows({"kind": "imagenet", "root": "x"}) == (1_281_167, 128_117, 50_000, 1000, "published")
    assert rows({"kind": "inaturalist18", "root": "x"})[::2] == (437_513, 24_426, "published")
    once = {"root": "x", "draws": 1}
    assert rows(once | {"kind": "cifar100", "fraction": 0.1})[:4] == (5_000, 500, 10_000, 100)
    assert rows(once | {"kind": "imagenet", "fraction": 0.0001})[0] == 1000, "at least one row of each class"
    assert rows(once | {"kind": "imagenet", "fraction": 0.0001, "balanced": False})[0] == 128
    # Camelyon17 has 455,954 patches; except for the test hospital's 85,054, they are in training or in one of two
    # validation splits.
    assert sum(CAMELYON17.values()) == 455_954
    assert rows({"kind": "camelyon17", "root": "x", "evaluation_split": "val"})[2] == 34_904


def test_a_replicate_has_the_rows_of_one_draw(tmp_path):
    """The file of the data set has the rows of all draws together."""
    few = {"kind": "cifar100", "root": "x", "fraction": 0.1}
    found = RowsOf(study(it=few))["it"]
    assert (found.train, found.heldout, found.drawn) == (25_000, 2_500, (5_000, 500)), "five draws by default"
    assert (found.of_a_replicate.train, found.of_a_replicate.heldout) == (5_000, 500)
    assert rows(few | {"fraction": 0.3, "draws": 3})[0] == 45_000
    assert rows(few | {"fraction": 0.5, "draws": 2})[0] == rows(few | {"fraction": 0.5, "draws": 3})[0] == 50_000
    assert rows(few | {"fraction": 0.9, "draws": 2})[0] == 49_500, "each draw leaves out a tenth"
    stated = RowsOf(study(it=few | {"kind": "image_folder"}), {"it": (100, 50, 5)})["it"]
    assert (stated.train, stated.heldout, stated.drawn) == (500, 50, (100, 10))
    draw_image_folder(tmp_path / "photos", {"ant": 20, "bee": 10}, sides=(8, 8))
    block = {"kind": "image_folder", "root": "photos", "fraction": 0.4, "draws": 2}
    counted = RowsOf(study(it=block), root=tmp_path)["it"]
    assert (counted.train, counted.heldout, counted.drawn) == (24, 4, (12, 2))
    made = study(it=block)
    paths = [made.paths.data_set.at(data_set="it", split=split) for split in ("train", "evaluation")]
    for split in ("train", "evaluation"):
        told = made.config.split_settings("it", split) | {"root": str(tmp_path / "photos")}
        write_data_set("it", split, told, (tmp_path / paths[0].beton).parent)
    written = RowsOf(made, root=tmp_path)["it"]
    assert written == replace(counted, origin="sidecars", images={})


def test_a_plan_trains_on_the_rows_of_one_draw():
    """Features are extracted for the rows of all draws."""
    few = {"kind": "cifar100", "root": "x", "fraction": 0.1, "views": 3}
    often, once = (PlannedStudy(made, RowsOf(made)) for made in (study(it=few), study(it=few | {"draws": 1})))
    assert often.extracted_rows("it") == 10_000 + 2_500 + 3 * 25_000
    assert once.extracted_rows("it") == 10_000 + 500 + 3 * 5_000
    assert often.rows_of("it", "train") == 25_000
    assert often.probe_operations("cat1", "it") == once.probe_operations("cat1", "it")
    assert often.transferred_images("cat1", "it") == once.transferred_images("cat1", "it")
    for of_original in (images_of_cell, operations_of_cell):
        assert of_original(often, "cat1", "it") == of_original(once, "cat1", "it")


@pytest.mark.parametrize("fraction", [0.3333, 0.5, 0.1])
def test_rows_of_digits_are_exact(fraction):
    block = {"kind": "digits", "evaluation_fraction": fraction}
    settings = block | {"seed": 1}
    train, evaluation = (read_split(settings, split) for split in ("train", "evaluation"))
    held = len(heldout_rows(train.labels, 0, 0.1))
    assert rows(block) == (len(train), held, len(evaluation), 10, "published")


def test_rows_of_sequence_files_must_be_stated():
    """Rows of generated sequences are known from the config."""
    made = {"kind": "motifs", "length": 60, "rows": {"train": 500, "evaluation": 90}}
    assert rows(made) == (500, 50, 90, 6, "config")
    assert image_bytes(study(it=made).config.data_sets["it"], None) == (3 * 64, 64)
    files = {"kind": "sequences", "root": "x", "length": 60, "train": ["a.fna"], "evaluation": ["b.fna"]}
    with pytest.raises(
        UserError, match="data_sets.it: its numbers of rows are not known before it is written; state them"
    ):
        rows(files)
    assert rows(files, [900, 90, 4]) == (900, 90, 90, 4, "--rows")


def photographs(folder, sides=(60, 40), suffix="jpg"):
    """Write two classes with three and two training images and one evaluation image each."""
    draw = np.random.default_rng(0)
    for place in ("train/a/1", "train/a/2", "train/a/3", "train/b/1", "train/b/2", "val/a/1", "val/b/1"):
        path = folder / f"{place}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize(sides, Image.Resampling.BICUBIC).save(path)


def test_images_of_existing_folders_are_counted(tmp_path):
    photographs(tmp_path / "photos")
    block = {"kind": "image_folder", "root": "photos"}
    assert rows(block, root=tmp_path) == (5, 2, 2, 2, "counted")
    assert rows(block | {"classes": ["b"]}, root=tmp_path) == (2, 1, 1, 1, "counted")
    assert rows(block | {"fraction": 0.5, "draws": 1}, root=tmp_path)[0] == 2 + 1, "two rows of three, and one of two"
    only = {"kind": "evaluation_folder", "root": "photos/val", "probe_of": "cues_tiny"}
    assert rows(only, root=tmp_path) == (0, 0, 2, 16, "counted")


def test_rows_of_each_kind_are_counted_by_the_reader_of_the_kind(tmp_path):
    lines = ["img_filename,y,place,split", "1.jpg,0,1,0", "2.jpg,1,1,0", "3.jpg,1,0,1", "4.jpg,0,0,2"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    block = {"kind": "waterbirds", "root": str(tmp_path)}
    assert rows(block) == (2, 0, 1, 2, "counted")
    assert rows(block | {"train_split": "val"})[0] == 1
    with pytest.raises(UserError, match="its rows cannot be counted .*there is no .*list_attr_celeba.csv"):
        rows({"kind": "celeba", "root": str(tmp_path / "nowhere")})


@pytest.mark.parametrize(
    ("kind", "guess"), [("image_folder", True), ("celeba", True), ("imagenet", False), ("camelyon17", False)]
)
def test_published_image_sizes_are_not_a_guess(kind, guess):
    made = study(it={"kind": kind, "root": "x"})
    assert PlannedStudy(made, RowsOf(made, {"it": (100, 10, 5)})).sizes_are_a_guess("it") == guess


def test_rows_of_missing_files_can_be_stated(tmp_path):
    block = {"kind": "image_folder", "root": "nowhere"}
    with pytest.raises(
        UserError, match=r"data_sets.it: its rows cannot be counted \(there is no folder .*--rows it=50000,10000,100"
    ):
        rows(block)
    assert rows(block, (700, 90, 7)) == (700, 70, 90, 7, "--rows")
    assert rows(block | {"classes": 5}, (700, 90))[3] == 5
    assert rows({"kind": "imagenet", "root": "x"}, (10, 5)) == (10, 1, 5, 1000, "--rows"), (
        "the user's numbers come first"
    )
    only = {"kind": "evaluation_folder", "root": "nowhere", "probe_of": "cues_tiny"}
    assert rows(only, (321,)) == (0, 0, 321, 16, "--rows")
    with pytest.raises(UserError, match="--rows it=10000"):
        rows(only)
    for wrong, given in ((block, (700, 90)), (block, (7,)), (only, (7, 8))):
        with pytest.raises(UserError, match="^--rows it: "):
            rows(wrong, given)
    with pytest.raises(UserError, match="--rows: 'sauce' is not one of the study's data sets"):
        RowsOf(study(), {"sauce": (1, 2)})


@pytest.mark.parametrize(
    "storage",
    [
        {"write_mode": "raw", "longest_side": None},
        {"write_mode": "raw", "longest_side": 30},
        {"write_mode": "jpg"},
    ],
)
def test_a_beton_is_as_large_as_planned(tmp_path, storage):
    photographs(tmp_path)
    block = study(it={"kind": "image_folder", "root": str(tmp_path), "storage": storage}).config.data_sets["it"]
    split = read_split(block.of_split("train"), "train")
    mean, pixels = image_bytes(block, split.images)
    assert pixels == 60 * 40
    settings = {"write_mode": block.storage.write_mode, "max_resolution": None, "jpeg_quality": 95}
    write_beton(tmp_path / "it.beton", split, settings)
    size = (tmp_path / "it.beton").stat().st_size
    assert beton_bytes(len(split), mean, 1) == size
    stored = 3 * 30 * 20 if storage.get("longest_side") == 30 else 3 * 60 * 40
    files = [path.stat().st_size for path in tmp_path.glob("train/*/*.jpg")]
    assert mean == (np.mean(files) if storage["write_mode"] == "jpg" else stored)


@pytest.mark.parametrize("rows, side", [(1, 16), (700, 32), (2_000, 48), (150_000, 8), (3, 900)])
def test_a_beton_with_several_pages_is_as_large_as_planned(tmp_path, rows, side):
    """A page contains only complete images and grows with their size; the table of rows may take several pages."""

    class Black:
        def __len__(self):
            return rows

        def __getitem__(self, row):
            return np.zeros((side, side, 3), np.uint8), 0

    write_beton(tmp_path / "it.beton", Black(), {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 95})
    assert beton_bytes(rows, 3 * side**2, 1) == (tmp_path / "it.beton").stat().st_size


# --- the table of throughputs ---


def changed(tmp_path, old: str, new: str):
    """Return the path of a copy of the table of throughputs in which ``new`` replaces ``old``."""
    text = TABLE.read_text()
    assert old in text
    path = tmp_path / "throughputs.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("training: 356.0", "training: fast", "`rates.0.training` is the text 'fast', not a number"),
        ("training: 356.0", "training: 0.0", "`rates.0.training` is 0.0; it must be greater than 0"),
        ("training: 356.0", "trainig: 356.0", "`rates.0.trainig` is not a key; did you mean `training`"),
        ("    device: v100", "    device: v1000", "`rates.0.device`: 'v1000' is not one of `devices` (v100, a100"),
        ("  v100:\n", "  a100:\n", "`a100` appears twice"),
        (
            "precision: bf16",
            "precision: float32",
            "`rates.2`: an earlier row has the same backbone, device, precision and image_size",
        ),
        ("probe_share: 0.5", "probe_share: 1.5", "`assumptions.probe_share` is 1.5; it must be at most 1"),
        ("  scaling: 0.99", "  # scaling", "`rates.0.scaling` is missing; add it."),
        ("kind: gpu", "kind: tpu", "`devices.v100.kind` is 'tpu'; it must be 'gpu' or 'cpu'"),
        ("rates:", "rates: [", ": not YAML ("),
    ],
)
def test_a_mistake_in_the_table_of_throughputs_is_refused(tmp_path, old, new, message):
    """The message begins with the path of the file."""
    path = changed(tmp_path, old, new)
    with pytest.raises(UserError) as error:
        read_throughputs(path)
    assert message in str(error.value) and str(error.value).startswith(str(path))


def test_every_rate_names_its_source():
    table = read_throughputs(TABLE)
    assert all(len(rate.source) > 20 for rate in table.rates)
    with pytest.raises(UserError, match="cannot be read"):
        read_throughputs("nowhere.yaml")


def test_a_speed_is_read_from_the_table_or_derived():
    """Without a row for the backbone and image size, the number of multiplications gives the speed."""
    table = read_throughputs(TABLE)
    resnet50 = table.rates[0].network
    here = speed(table, "v100", resnet50, 224, "float32")
    assert (here.training, here.extraction) == (356.0, 1261.0) and "NVIDIA" in here.origin
    half = speed(table, "v100", resnet50, 112, "float32")
    assert half.training == pytest.approx(4 * 356) and "derived from resnet50 at 224 px" in half.origin
    small = table.rates[-1].network
    assert table.default_device(resnet50) == "v100" and table.default_device(small) == "cpu-core"
    assert table.default_device(replace(small, width=16)) == "cpu-core"
    # Among the rows of a device, a row of the same family is preferred to a row of similar cost.
    wide = replace(small, width=64)
    both = table.model_copy(update={"rates": [*table.rates, table.rates[-1].model_copy(update={"device": "v100"})]})
    assert "small_residual" in speed(both, "v100", wide, 448, "float32").origin
    assert "resnet50" in speed(table, "v100", wide, 448, "float32").origin
    with pytest.raises(UserError, match="has no row for v100 in bf16"):
        speed(table, "v100", resnet50, 224, "bf16")
    with pytest.raises(UserError, match="--device: 'tpu' is not in the table"):
        speed(table, "tpu", resnet50, 224, "float32")
