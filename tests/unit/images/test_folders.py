"""Test reading folders of image files: rows, their order and labels, and folders that are refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.support.images import read_split
from workflow_scripts.timecat.config.data_sets import ImageFolder
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets import folders
from workflow_scripts.timecat.images.datasets.file_splits import subset_rows
from workflow_scripts.timecat.images.datasets.image_files import read_image_file, reduced_sides
from workflow_scripts.timecat.images.datasets.registry import as_settings


def settings(root, split="train", **changes) -> dict:
    """Return the settings of a split as the stage receives them."""
    return ImageFolder(kind="image_folder", root=str(root), **changes).of_split(split)


def without_classes(told: dict) -> dict:
    """Return the settings without key ``classes``, for kinds that do not have it."""
    return {key: value for key, value in told.items() if key != "classes"}


@pytest.fixture
def folder(tmp_path):
    """Folder of three classes with 4, 6 and 10 training images and one evaluation image each, in different colours."""
    for split, counts in {"train": (4, 6, 10), "val": (1, 1, 1)}.items():
        for name, count in zip(("newt", "ant", "bee"), counts, strict=True):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (8 + number, 9), (number, len(name), count))
                image.save(tmp_path / split / name / f"{number:02d}.png")
    return tmp_path


def test_rows_are_sorted_by_class_and_file_name(folder):
    split = read_split(settings(folder), "train")
    assert split.class_names == ["ant", "bee", "newt"]
    assert split.labels.tolist() == [0] * 6 + [1] * 10 + [2] * 4
    assert split.sources[:2] == ["train/ant/00.png", "train/ant/01.png"]
    image, label = split[7]
    assert label == 1 and image.shape == (9, 9, 3) and image[0, 0].tolist() == [1, 3, 10]
    assert read_split(settings(folder, "evaluation"), "evaluation").sources == [
        "val/ant/00.png",
        "val/bee/00.png",
        "val/newt/00.png",
    ]


def test_other_files_and_hidden_folders_are_ignored(folder):
    (folder / "train/ant/notes.txt").write_text("no image")
    (folder / "train/.cache").mkdir()
    (folder / "train/ant/more").mkdir()
    Image.new("L", (5, 5)).save(folder / "train/ant/more/x.JPEG")
    split = read_split(settings(folder), "train")
    assert len(split) == 21 and split.class_names == ["ant", "bee", "newt"]
    assert split.sources[6] == "train/ant/more/x.JPEG"  # a subfolder comes after the files of its folder


def test_classes_are_chosen_by_name_or_by_number(folder):
    chosen = read_split(settings(folder, classes=["newt", "bee"]), "train")
    assert chosen.class_names == ["bee", "newt"] and set(chosen.labels.tolist()) == {0, 1} and len(chosen) == 14
    assert len(read_split(settings(folder, "evaluation", classes=["newt", "bee"]), "evaluation")) == 2
    drawn = {tuple(read_split(settings(folder, classes=2, subset_seed=seed), "train").class_names) for seed in range(9)}
    assert len(drawn) > 1 and all(len(names) == 2 and list(names) == sorted(names) for names in drawn)


@pytest.mark.parametrize("balanced", [True, False])
def test_a_fraction_is_drawn_by_subset_seed(balanced):
    labels = np.repeat(np.arange(5), [100, 100, 100, 50, 3])
    values = as_settings(settings("any", fraction=0.1, balanced=balanced))
    rows = subset_rows(labels, values)
    assert rows.tolist() == sorted(set(rows.tolist()))
    if balanced:
        assert np.bincount(labels[rows]).tolist() == [10, 10, 10, 5, 1]
    else:
        assert len(rows) == 35
    assert not np.array_equal(rows, subset_rows(labels, replace(values, subset_seed=1))[: len(rows)])


def test_a_fraction_applies_only_to_training_rows(folder):
    assert len(read_split(settings(folder, fraction=0.5), "train")) == 2 + 3 + 5
    assert len(read_split(settings(folder, "evaluation", fraction=0.5), "evaluation")) == 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_images_of_every_mode_are_converted_to_rgb(tmp_path, mode):
    suffix = "tif" if mode in ("CMYK", "I;16") else "png"
    path = tmp_path / f"image.{suffix}"
    Image.new(mode, (6, 4)).save(path)
    image = read_image_file(path)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    wanted = np.asarray(Image.open(path).convert("RGB"))
    assert np.array_equal(image, wanted)


@pytest.mark.parametrize(
    ("longest", "shortest", "wanted"),
    [
        (None, None, (640, 427)),
        (500, None, (500, 333)),
        (None, 256, (383, 256)),
        (300, 256, (300, 200)),
        (900, 500, (640, 427)),
    ],
)
def test_sides_are_reduced_but_not_enlarged(longest, shortest, wanted):
    assert reduced_sides(640, 427, longest, shortest) == wanted


@pytest.mark.parametrize(
    ("break_it", "changes", "words"),
    [
        (lambda root: None, {"root": "nowhere"}, ("nowhere/train", "`root`")),
        (
            lambda root: None,
            {"classes": 4, "subset_seed": 0},
            ("3 classes", "`classes` in the config is 4", "lower this number"),
        ),
        (lambda root: None, {"classes": ["ant", "elk"]}, ("'elk'", "`classes`", "correct the name")),
        (lambda root: (root / "train/void").mkdir(), {}, ("void has no images",)),
        (lambda root: (root / "val/elk").mkdir(), {}, ("val/elk has no folder of the same name",)),
        (lambda root: None, {"kind": "imagenet"}, ("3 classes", "1000", "image_folder")),
    ],
)
def test_each_mistake_gives_a_one_line_error_message(folder, break_it, changes, words):
    break_it(folder)
    with pytest.raises(UserError) as caught:
        for split in ("evaluation", "train"):
            told = settings(folder, split) | changes
            read_split(without_classes(told) if "kind" in changes else told, split)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_an_imagenet_without_evaluation_images_of_a_class_is_refused(folder, monkeypatch):
    monkeypatch.setattr(folders, "IMAGENET_CLASSES", 3)
    whole = without_classes(settings(folder, "evaluation")) | {"kind": "imagenet"}
    assert len(read_split(whole, "evaluation")) == 3
    (folder / "val/bee/00.png").unlink()
    with pytest.raises(UserError, match="val/bee has no images"):
        read_split(whole, "evaluation")


def test_the_error_about_a_broken_image_names_the_file(folder):
    (folder / "train/bee/03.png").write_bytes(b"not an image")
    split = read_split(settings(folder), "train")
    with pytest.raises(UserError, match=r"bee/03\.png cannot be read.*broken: skip"):
        split[6 + 3]
