"""Test the stage `write_dataset`: its index and sidecar are correct and do not depend on the number of workers."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from tests.support.images import read_split, write_data_set
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.images import writing
from workflow_scripts.timecat.images.datasets import registry
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.images.ffcv.format import describe, read_image

SETTINGS = {
    "kind": "cues",
    "seed": 1,
    "rows": {"train": 230, "evaluation": 50},
    "agreement": 0.9,
    "components": None,
    "label": "class",
}


def small_split(**changes) -> Split:
    """Return a split of three rows, not sorted by label or source, with changed fields."""
    return dataclasses.replace(
        Split(
            images=np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3),
            labels=np.array([2, 0, 2]),
            class_names=["ant", "bee", "cat"],
            sources=["z.png", "a.png", "m.png"],
            groups={"site": np.array([7, 7, 1]), "camera": np.array(["b", "a", "b"])},
        ),
        **changes,
    )


def test_the_index_describes_each_row(tmp_path):
    writing.write_index(tmp_path / "index.parquet", small_split())
    table = pyarrow.parquet.read_table(tmp_path / "index.parquet")
    assert table.column_names == ["row", "label", "class_name", "site", "camera", "source"]
    assert table.to_pylist() == [
        {"row": 0, "label": 2, "class_name": "cat", "site": 7, "camera": "b", "source": "z.png"},
        {"row": 1, "label": 0, "class_name": "ant", "site": 7, "camera": "a", "source": "a.png"},
        {"row": 2, "label": 2, "class_name": "cat", "site": 1, "camera": "b", "source": "m.png"},
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["index.parquet"]


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array([2, 1, 2])},
        {"class_names": ["ant", "bee", "cow"]},
        {"sources": ["z.png", "a.png", "n.png"]},
        {"groups": {"site": np.array([7, 7, 2]), "camera": np.array(["b", "a", "b"])}},
        {"groups": {"place": np.array([7, 7, 1]), "camera": np.array(["b", "a", "b"])}},
        {"groups": {}},
    ],
    ids=["label", "class name", "source", "group", "group name", "no groups"],
)
def test_the_digest_of_the_index_covers_all_its_columns(tmp_path, changes):
    before = writing.write_index(tmp_path / "index.parquet", small_split())
    assert writing.write_index(tmp_path / "index.parquet", small_split()) == before
    assert writing.write_index(tmp_path / "index.parquet", small_split(**changes)) != before


def run(folder: Path, workers=1) -> Path:
    """Run the stage for both splits and return the folder of its outputs."""
    for split in SETTINGS["rows"]:
        write_data_set("cues", split, SETTINGS, folder, workers)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Folder with the outputs of the stage for both splits, written by one worker."""
    return run(tmp_path_factory.mktemp("made"))


def test_the_stage_writes_only_the_files_of_both_splits(made):
    ends = ("beton", "beton.json", "index.parquet", "skipped.tsv")
    names = [f"{split}.{end}" for split in SETTINGS["rows"] for end in ends]
    assert {path.name for path in made.iterdir()} == set(names)


@pytest.mark.parametrize("name", SETTINGS["rows"])
def test_rows_are_in_the_order_of_the_split(made, name):
    split, beton = read_split(SETTINGS, name), describe(made / f"{name}.beton")
    index = pyarrow.parquet.read_table(made / f"{name}.index.parquet")
    assert beton.rows == index.num_rows == len(split) == SETTINGS["rows"][name]
    assert index["row"].to_pylist() == list(range(len(split)))
    assert index["label"].to_pylist() == beton.labels.tolist() == split.labels.tolist()
    assert index["class_name"].to_pylist() == [f"class{label:02d}" for label in split.labels]
    assert index["source"].to_pylist() == split.sources and len(set(split.sources)) == len(split)
    assert index.column_names == ["row", "label", "class_name", "cue0", "cue1", "cue2", "cue3", "source"]
    for group, values in split.groups.items():
        assert index[group].to_pylist() == values.tolist()
    for row in range(len(split)):
        assert np.array_equal(read_image(beton, row), split[row][0])


def test_the_sidecar_has_rows_classes_and_params(made):
    for split, rows in SETTINGS["rows"].items():
        sidecar = read_sidecar(made / f"{split}.beton")
        assert (sidecar["data_set"], sidecar["rows"], sidecar["classes"], sidecar["inputs"]) == ("cues", rows, 16, {})
        assert sidecar["params"] == SETTINGS | {"storage": writing.RAW, "split": split}


def sidecars(folder: Path) -> list[bytes]:
    return [(folder / f"{split}.beton.json").read_bytes() for split in SETTINGS["rows"]]


def contents(folder: Path) -> list[str]:
    return [read_sidecar(folder / f"{split}.beton")["content"] for split in SETTINGS["rows"]]


def test_sidecars_and_indices_do_not_depend_on_workers(made, tmp_path):
    two = run(tmp_path, workers=2)
    assert sidecars(two) == sidecars(made) and len(set(contents(made))) == 2
    for split in SETTINGS["rows"]:
        assert (two / f"{split}.index.parquet").read_bytes() == (made / f"{split}.index.parquet").read_bytes()


def spoil(monkeypatch, **changes) -> None:
    """Make the stage read changed splits.

    changes: field of the split -> function that returns its changed value, given the split.
    """

    def read(settings, name, probed_classes):
        split = registry.read_split(settings, name, probed_classes)
        return dataclasses.replace(split, **{key: change(split) for key, change in changes.items()})

    monkeypatch.setattr(writing, "read_split", read)


def one_label(split):
    labels = split.labels.copy()
    labels[-1] = (labels[-1] + 1) % 16
    return labels


def one_pixel(split):
    images = split.images.copy()
    images[-1, 3, 3, 1] ^= 1
    return images


def one_glyph(split):
    glyphs = split.groups["cue3"].copy()
    glyphs[0] = (glyphs[0] + 1) % 16
    return split.groups | {"cue3": glyphs}


@pytest.mark.parametrize("change", [{"labels": one_label}, {"images": one_pixel}, {"groups": one_glyph}])
def test_the_content_digest_changes_when_a_row_changes(made, tmp_path, monkeypatch, change):
    spoil(monkeypatch, **change)
    changed = contents(run(tmp_path))
    assert not set(changed) & set(contents(made))


def test_temporary_files_of_a_killed_writer_are_removed(made, tmp_path):
    for name in (".train.beton.1.tmp", ".evaluation.index.parquet.1.tmp", "..train.beton.1.tmp"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "else.tmp").write_bytes(b"not of this job")
    run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"else.tmp"} | {path.name for path in made.iterdir()}
