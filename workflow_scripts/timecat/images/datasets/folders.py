"""Read data sets made of one folder of image files per class: any such folder, and ImageNet-1k."""

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
    """Settings of an image folder. classes: names of the classes to use, or their number; None for all."""

    kind: Literal["image_folder"]
    classes: int | tuple[str, ...] | None


@settings
class ImageNetSettings(SubsetSettings):
    """Settings of ImageNet-1k."""

    kind: Literal["imagenet"]


def image_folder_split(settings: ImageFolderSettings | ImageNetSettings, split: str) -> Split:
    """Return one split of ``root/train/CLASS/*`` and ``root/val/CLASS/*``.

    Both splits number the classes by the sorted folder names of ``train``.
    """
    root, is_imagenet = Path(settings.root), isinstance(settings, ImageNetSettings)
    names = class_folders(root / SPLIT_FOLDERS["train"])
    if isinstance(settings, ImageFolderSettings):
        names = chosen_classes(names, settings)
    if is_imagenet and len(names) != IMAGENET_CLASSES:
        raise UserError(
            f"{root / 'train'} has {len(names)} classes, but ImageNet-1k has {IMAGENET_CLASSES}; correct `root` or use "
            "`kind: image_folder` for a part of it"
        )
    folder = root / SPLIT_FOLDERS[split]
    paths, labels = listed_images(folder, names, may_lack=split == "evaluation" and not is_imagenet)
    if split == "evaluation" and (isinstance(settings, ImageNetSettings) or settings.classes is None):
        unknown = sorted(set(class_folders(folder)) - set(names))
        if unknown:
            raise UserError(f"{folder / unknown[0]} is not a class of {root / 'train'}; remove it or add it there")
    return split_of_files([os.path.relpath(path, root) for path in paths], labels, names, settings, split)


def class_folders(folder: Path) -> list[str]:
    """Return the sorted names of a folder's subfolders except hidden ones; raise UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; correct the data set's `root` in the config, or put it there")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{folder} has no class folders; put the images into {folder}/CLASS/")
    return names


def chosen_classes(names: list[str], settings: ImageFolderSettings) -> list[str]:
    """Return the sorted names of the classes to use: all, those listed, or a number of them drawn by a hash."""
    wanted = settings.classes
    if wanted is None:
        return names
    where = f"{settings.root} has {len(names)} classes"
    if isinstance(wanted, int):
        if wanted > len(names):
            raise UserError(f"{where}, but `classes` in the config is {wanted}; lower it")
        seed = needed(settings.subset_seed, "subset_seed")
        return sorted(sorted(names, key=lambda name: randomness.key("subset", seed, name))[:wanted])
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise UserError(f"{where}, but {missing[0]!r} in `classes` of the config is not one of them; correct it")
    return sorted(wanted)


def listed_images(folder: Path, names: list[str], may_lack: bool) -> tuple[list[str], np.ndarray]:
    """Return the files and labels (int64) of a split's images, class by class.

    may_lack: allow classes without images; otherwise they raise UserError.
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
