"""Read Waterbirds and CelebA in their published layouts: photographs with an attribute that correlates with the label.

``metadata.csv`` describes one image per row: file, label, group column and split (0 training, 1 validation, 2 test).
Sources: Sagawa et al. 2020, "Distributionally Robust Neural Networks" (group DRO), for both files; Liu et al. 2015 for
CelebA, whose original lists are ``list_attr_celeba.csv`` and ``list_eval_partition.csv``.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_of_files
from workflow_scripts.timecat.images.datasets.settings import SubsetSettings, needed
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.settings import LEFT_OUT, settings

SPLITS = {"train": "0", "val": "1", "test": "2"}


@settings
class SpuriousPhotosSettings(SubsetSettings):
    """Settings of Waterbirds and CelebA."""

    kind: Literal["waterbirds", "celeba"]
    train_split: Literal["train", "val"] | None = LEFT_OUT
    evaluation_split: Literal["val", "test"] | None = LEFT_OUT


@dataclass(frozen=True)
class Layout:
    """Layout of a data set's list of images.

    file, label, group: columns of the list. folder: folder of the images. class_names, group_names: names of the two
    labels and groups. values: text in the columns label and group -> number.
    """

    file: str
    label: str
    group: str
    folder: str
    group_column: str  # name of the group column in the index
    class_names: tuple[str, str]
    group_names: tuple[str, str]
    values: dict[str, int]


WATERBIRDS = Layout(
    "img_filename", "y", "place", ".", "place", ("landbird", "waterbird"), ("land", "water"), {"0": 0, "1": 1}
)
CELEBA = Layout(
    "image_id",
    "Blond_Hair",
    "Male",
    "img_align_celeba",
    "male",
    ("not_blond", "blond"),
    ("no", "yes"),
    {"-1": 0, "0": 0, "1": 1},
)


def waterbirds_split(settings: SpuriousPhotosSettings, split: str) -> Split:
    """Return one split of Waterbirds, with rows in the order of ``metadata.csv``."""
    path = Path(settings.root) / "metadata.csv"
    rows = read_list(path, (WATERBIRDS.file, WATERBIRDS.label, WATERBIRDS.group, "split"))
    return _split(path, rows, [row["split"] for row in rows], WATERBIRDS, settings, split)


def celeba_split(settings: SpuriousPhotosSettings, split: str) -> Split:
    """Return one split of CelebA; the label is whether the hair is blond, the group whether the person is male.

    The list of images is ``metadata.csv`` if this file exists, else CelebA's original lists.
    """
    root = Path(settings.root)
    columns = (CELEBA.file, CELEBA.label, CELEBA.group)
    path = root / "metadata.csv"
    if path.exists():
        rows = read_list(path, (*columns, "split"))
        return _split(path, rows, [row["split"] for row in rows], CELEBA, settings, split)
    path = root / "list_attr_celeba.csv"
    rows, parts = read_list(path, columns), read_list(root / "list_eval_partition.csv", (CELEBA.file, "partition"))
    part_of = {row[CELEBA.file]: row["partition"] for row in parts}
    missing = next((row[CELEBA.file] for row in rows if row[CELEBA.file] not in part_of), None)
    if missing is not None:
        raise UserError(f"{root / 'list_eval_partition.csv'} has no row for {missing}; download the file again")
    return _split(path, rows, [part_of[row[CELEBA.file]] for row in rows], CELEBA, settings, split)


def read_list(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV file; raise UserError if it is absent, has no rows or lacks one of the columns."""
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}; correct the data set's `root` in the config, or put the file there"
        ) from None
    missing = [name for name in columns if name not in (reader.fieldnames or [])]
    if missing or not rows:
        problem = f"has no column {missing[0]}" if missing else "has no rows"
        raise UserError(f"{path} {problem}; use the file that is distributed with the data set")
    short = next((number for number, row in enumerate(rows) if None in (row[name] for name in columns)), None)
    if short is not None:
        raise UserError(f"{path}: row {short} has too few values; download the file again")
    return rows


def _split(
    path: Path,
    rows: list[dict[str, str]],
    parts: list[str],
    layout: Layout,
    settings: SpuriousPhotosSettings,
    split: str,
) -> Split:
    """Return one split, given the rows of the list of images.

    parts: value "0", "1" or "2" of the split column for each row.
    """
    train, evaluation = settings.train_split, settings.evaluation_split
    used = needed(train, "train_split") if split == "train" else needed(evaluation, "evaluation_split")
    wanted = SPLITS[used]
    rows = [row for row, part in zip(rows, parts, strict=True) if part.strip() == wanted]
    if not rows:
        raise UserError(f"{path} has no row with split {wanted}; download the file again")
    numbers = {}
    for name in (layout.label, layout.group):
        unknown = next((row[name] for row in rows if row[name].strip() not in layout.values), None)
        if unknown is not None:
            raise UserError(
                f"{path}: column {name} has the value {unknown!r}, which must be one of {', '.join(layout.values)}"
            )
        numbers[name] = np.array([layout.values[row[name].strip()] for row in rows])
    folder = Path(settings.root) / layout.folder
    inside = layout.folder if layout.folder != "." and folder.is_dir() else "."
    return split_of_files(
        [str(Path(inside) / row[layout.file].strip()) for row in rows],
        numbers[layout.label],
        list(layout.class_names),
        settings,
        split,
        groups={layout.group_column: np.array(layout.group_names)[numbers[layout.group]]},
    )
