"""Read data sets with one folder of image files per class: ImageNet-1k and custom image folders."""

import os
from pathlib import Path
from typing import Literal

import numpy as np

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_of_files
from workflow_scripts.timecat.images.datasets.image_files import files_below
from workflow_scripts.timecat.images.datasets.settings import SubsetSettings, needed
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.settings import settings

SPLIT_FOLDERS = {"train": "train", "evaluation": "val"}
IMAGENET_CLASSES = 1000


@settings
class ImageFolderSettings(SubsetSettings):
    """Settings of an image folder.

    classes: names of the classes to use, or their number; None for all.
    """

    kind: Literal["image_folder"]
    classes: int | tuple[str, ...] | None


@settings
class ImageNetSettings(SubsetSettings):
    """Settings of ImageNet-1k."""

    kind: Literal["imagenet"]


def image_folder_split(settings: ImageFolderSettings | ImageNetSettings, split: str) -> Split:
    """Return one split of ``root/train/CLASS/*`` and ``root/val/CLASS/*``.

    In both splits, the label of a class is the rank of its folder among the sorted folders of ``train``.
    """
    root, is_imagenet = Path(settings.root), isinstance(settings, ImageNetSettings)
    names = class_folders(root / SPLIT_FOLDERS["train"])
    if isinstance(settings, ImageFolderSettings):
        names = chosen_classes(names, settings)
    if is_imagenet and len(names) != IMAGENET_CLASSES:
        raise UserError(
            f"{root / 'train'} has {len(names)} classes, but ImageNet-1k has {IMAGENET_CLASSES}; correct `root`, or "
            "use `kind: image_folder` for a subset of ImageNet"
        )
    folder = root / SPLIT_FOLDERS[split]
    paths, labels = listed_images(folder, names, may_lack=split == "evaluation" and not is_imagenet)
    if split == "evaluation" and (isinstance(settings, ImageNetSettings) or settings.classes is None):
        unknown = sorted(set(class_folders(folder)) - set(names))
        if unknown:
            raise UserError(
                f"{folder / unknown[0]} has no folder of the same name in {root / 'train'}; remove it, or add training "
                "images"
            )
    return split_of_files([os.path.relpath(path, root) for path in paths], labels, names, settings, split)


def class_folders(folder: Path) -> list[str]:
    """Return the sorted names of a folder's visible subfolders; raise UserError if there are none."""
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; correct the data set's `root` in the config, or put the folder there"
        )
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{folder} has no class folders; put the images into {folder}/CLASS/")
    return names


def chosen_classes(names: list[str], settings: ImageFolderSettings) -> list[str]:
    """Return the sorted names of the classes that `classes` of the config selects.

    The key selects all classes (None), the listed ones, or a number of classes drawn at random.
    """
    wanted = settings.classes
    if wanted is None:
        return names
    where = f"{settings.root} has {len(names)} classes"
    if isinstance(wanted, int):
        if wanted > len(names):
            raise UserError(f"{where}, but `classes` in the config is {wanted}; lower this number")
        seed = needed(settings.subset_seed, "subset_seed")
        return sorted(sorted(names, key=lambda name: randomness.key("subset", seed, name))[:wanted])
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise UserError(f"{where}, but {missing[0]!r} in `classes` of the config is not one of them; correct the name")
    return sorted(wanted)


def listed_images(folder: Path, names: list[str], may_lack: bool) -> tuple[list[str], np.ndarray]:
    """Return the paths and labels (int64) of a split's images, class by class.

    may_lack: whether a class may have no images; if not, such a class raises UserError.
    """
    paths, labels = [], []
    for label, name in enumerate(names):
        found = files_below(folder / name)
        if not found and not may_lack:
            raise UserError(f"{folder / name} has no images; add some, or remove the class")
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise UserError(
            f"{folder} has no images of the data set's classes; correct the data set's `root` in the config"
        )
    return paths, np.array(labels, np.int64)
