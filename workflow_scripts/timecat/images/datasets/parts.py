"""A part of another data set: rows whose groups have certain values, of the training rows as many of each group.

Its images are read from where the whole's are, and come out the same. Labels are numbered anew: the classes of a part are
those of its training rows, in the whole's order.
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

# What `where` and `balanced_by` may name beside the group columns of the index. A superclass is the folder that a class's
# folder lies in, where classes are named by paths (iNaturalist).
CLASS, SUPERCLASS = "class_name", "superclass"


@settings
class PartSettings(DataSetSettings, Generic[Whole]):
    """The settings of a part. of: the whole's, of the same split; its storage and broken files are the part's too.

    where: column -> values. balanced_by, subset_seed: columns, and what draws the training rows.
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
    """Some rows of a sequence of images, which are read when they are asked for."""

    images: Images
    rows: np.ndarray  # int64

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8] | Jpeg:
        return self.images[int(self.rows[row])]


def part_split(
    whole: Split, settings: PartSettings[Any], split: str, trained_classes: Sequence[str | None] | None
) -> Split:
    """Return one split of a part, rows in the order of the whole's.

    whole: the split of the data set that it is a part of. trained_classes: class names of its training rows, which number
    the labels for evaluation.
    """
    rows = np.arange(len(whole))
    for column, values in settings.where.items():
        rows = rows[np.isin(_texts(whole, column, "where")[rows], [str(value) for value in values])]
    if not len(rows):
        raise UserError(
            f"`where` {_listed(settings.where)}: the whole has no {split} row like that; correct it in the config"
        )
    if split == "train" and (columns := needed(settings.balanced_by, "balanced_by")):
        rows = balanced(rows, whole, columns, needed(settings.subset_seed, "subset_seed"))
    names = _class_names(whole)
    present = {names[label] for label in np.unique(whole.labels[rows])}
    class_names: Sequence[str | None] = [name for name in names if name in present]
    if split != "train":
        if trained_classes is None:
            raise ValueError("rows for evaluation are numbered by the classes of the training rows, which are missing")
        class_names = trained_classes
        if unknown := sorted(present.difference(class_names)):
            raise UserError(
                f"`where` {_listed(settings.where)}: class {unknown[0]} has rows for evaluation and none for training; widen it "
                "in the config"
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
    """Return the conditions as the config writes them."""
    return {column: list(values) for column, values in where.items()}


def _class_names(whole: Split) -> list[str]:
    """Return the class names as text: data sets that parts are of name every class."""
    return [str(name) for name in whole.class_names]


def balanced(rows: np.ndarray, whole: Split, columns: Sequence[str], seed: int) -> np.ndarray:
    """Of the rows, ascending, as many of each combination of the columns' values as its rarest has, drawn at random."""
    values = [_texts(whole, column, "balanced_by")[rows] for column in columns]
    groups = np.unique(np.stack(values), axis=1, return_inverse=True)[1].ravel()
    return rows[balanced_draw(groups, np.random.default_rng(key("part", "balanced", seed)))]


def _texts(whole: Split, column: str, setting: str) -> np.ndarray:
    """A column's values as text [rows]. setting: the key that names it."""
    names = _class_names(whole)
    if column == CLASS:
        return np.array(names)[whole.labels]
    if column == SUPERCLASS and all("/" in name for name in names):
        return np.array([name.split("/")[-2] for name in names])[whole.labels]
    if column not in whole.groups:
        raise UserError(
            f"`{setting}`: the whole has no column {column!r}; it has {', '.join([CLASS, *whole.groups])}: correct the config"
        )
    return np.asarray(whole.groups[column]).astype(str)
