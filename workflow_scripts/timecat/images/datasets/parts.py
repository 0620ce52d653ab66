"""Select a part of another data set: rows whose columns have given values, with training rows balanced by group.

The parent data set is the data set that a part selects rows from; the images of both are identical. Labels are
renumbered: the classes of a part are the classes of its training rows, in the order of the parent data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.image_files import Jpeg
from workflow_scripts.timecat.images.datasets.settings import DataSetSettings, StorageSettings, needed
from workflow_scripts.timecat.images.datasets.split import Images, Split
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.sampling import balanced_draw
from workflow_scripts.timecat.settings import LEFT_OUT, settings

Whole = TypeVar("Whole", bound=DataSetSettings)

# Columns that `where` and `balanced_by` may name in addition to the group columns of the index. If classes are named by
# paths (iNaturalist), a superclass is the parent folder of a class's folder.
CLASS, SUPERCLASS = "class_name", "superclass"


@settings
class PartSettings(DataSetSettings, Generic[Whole]):
    """Settings of a part of a data set.

    of: settings of the parent data set for the same split, including storage and handling of broken files, which also
    apply to the part. where: column -> allowed values. balanced_by: columns by which training rows are balanced.
    subset_seed: seed of the random choice of balanced rows.
    """

    kind: Literal["part"]
    of: Whole
    where: Mapping[str, tuple[str | int, ...]] = field(hash=False)
    balanced_by: tuple[str, ...] | None = LEFT_OUT
    subset_seed: int | None = LEFT_OUT
    storage: StorageSettings | None = LEFT_OUT
    broken: Literal["error", "skip"] | None = LEFT_OUT


@dataclass(frozen=True)
class Chosen:
    """Selected rows of a sequence of images. An image is read when it is indexed."""

    images: Images
    rows: np.ndarray  # int64

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8] | Jpeg:
        return self.images[int(self.rows[row])]


def part_split(
    whole: Split, settings: PartSettings[Any], split: str, trained_classes: Sequence[str | None] | None
) -> Split:
    """Return one split of a part, with its rows in the order of the parent data set.

    whole: the same split of the parent data set. trained_classes: class names of the part's training rows, which define
    the labels of the evaluation split.
    """
    rows = np.arange(len(whole))
    for column, values in settings.where.items():
        rows = rows[np.isin(_texts(whole, column, "where")[rows], [str(value) for value in values])]
    if not len(rows):
        raise UserError(
            f"`where` {_listed(settings.where)} matches no {split} row of the parent data set (key `of`); "
            "correct `where` in the config"
        )
    if split == "train" and (columns := needed(settings.balanced_by, "balanced_by")):
        rows = balanced(rows, whole, columns, needed(settings.subset_seed, "subset_seed"))
    names = _class_names(whole)
    present = {names[label] for label in np.unique(whole.labels[rows])}
    class_names: Sequence[str | None] = [name for name in names if name in present]
    if split != "train":
        if trained_classes is None:
            raise ValueError("trained_classes is missing: these class names define the labels of the evaluation split")
        class_names = trained_classes
        if unknown := sorted(present.difference(class_names)):
            raise UserError(
                f"`where` {_listed(settings.where)}: class {unknown[0]} has evaluation rows but no training rows; "
                "widen `where` in the config"
            )
    numbers = {name: number for number, name in enumerate(class_names)}
    return replace(
        whole,
        images=Chosen(whole.images, rows),
        labels=np.array([numbers[names[label]] for label in whole.labels[rows]], np.int64),
        class_names=class_names,
        sources=[whole.sources[row] for row in rows],
        groups={name: values[rows] for name, values in whole.groups.items()},
    )


def _listed(where: Mapping[str, Sequence[str | int]]) -> dict[str, list[str | int]]:
    """Return the conditions of ``where`` with lists instead of tuples, as in the config."""
    return {column: list(values) for column, values in where.items()}


def _class_names(whole: Split) -> list[str]:
    """Return the class names as text (every class of a parent data set has a name)."""
    return [str(name) for name in whole.class_names]


def balanced(rows: np.ndarray, whole: Split, columns: Sequence[str], seed: int) -> np.ndarray:
    """Return a random subset of the rows, ascending, that is balanced over the values of ``columns``.

    Each combination of values keeps as many rows as the rarest combination has.
    """
    values = [_texts(whole, column, "balanced_by")[rows] for column in columns]
    groups = np.unique(np.stack(values), axis=1, return_inverse=True)[1].ravel()
    return rows[balanced_draw(groups, np.random.default_rng(key("part", "balanced", seed)))]


def _texts(whole: Split, column: str, setting: str) -> np.ndarray:
    """Return the values of a column as text [rows].

    setting: config key that names the column, for the error message.
    """
    names = _class_names(whole)
    if column == CLASS:
        return np.array(names)[whole.labels]
    if column == SUPERCLASS and all("/" in name for name in names):
        return np.array([name.split("/")[-2] for name in names])[whole.labels]
    if column not in whole.groups:
        raise UserError(
            f"`{setting}`: the parent data set has no column {column!r}, only "
            f"{', '.join([CLASS, *whole.groups])}; correct the name"
        )
    return np.asarray(whole.groups[column]).astype(str)
