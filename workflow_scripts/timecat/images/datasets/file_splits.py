"""Make splits from lists of image files, and draw a fraction of the training rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.images.datasets.image_files import ImageFiles
from workflow_scripts.timecat.images.datasets.settings import FileSettings, SubsetSettings, needed
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.sampling import rows_of_each_class


def split_of_files(
    names: list[str],
    labels: npt.ArrayLike,
    class_names: Sequence[str | None],
    settings: FileSettings,
    split: str,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Split:
    """Return the split that consists of these image files, reduced to the rows that ``fraction`` draws.

    names: paths of the files below the root. labels: int [files]. groups: further columns of the index, name -> array
    [files].
    """
    labels = np.asarray(labels, np.int64)
    rows, draws = split_rows(labels, settings, split)
    names = [names[row] for row in rows]
    return Split(
        images=ImageFiles(settings.root, names, settings.storage),
        labels=labels[rows],
        class_names=class_names,
        sources=names,
        groups={name: values[rows] for name, values in (groups or {}).items()},
        draws=draws,
    )


def split_rows(
    labels: np.ndarray, settings: FileSettings, split: str
) -> tuple[np.ndarray, npt.NDArray[np.bool_] | None]:
    """Return the rows of a split that are used and, if there are several draws, which draws each row is in.

    The evaluation split uses all rows, the training split the rows that ``fraction`` draws. With one draw, rows are
    ascending and the second result is None. With several draws, the rows of the first draw come first, then the rows
    that the second draw adds, and so on; the second result is bool [rows, draws]. Whatever depends on row numbers, such
    as crops, is therefore the same for the first draw whether or not there are more draws.
    """
    if split != "train" or not isinstance(settings, SubsetSettings):
        return np.arange(len(labels)), None
    if settings.draws is None:
        return subset_rows(labels, settings), None
    draws = [subset_rows(labels, settings, draw) for draw in range(settings.draws)]
    rows, first = np.unique(np.concatenate(draws), return_index=True)
    rows = rows[np.argsort(first)]
    return rows, np.stack([np.isin(rows, own) for own in draws], axis=1)


def subset_rows(labels: np.ndarray, settings: SubsetSettings, draw: int = 0) -> np.ndarray:
    """Return the training rows of one draw of ``fraction``, ascending.

    The fraction is drawn from each class (at least one row) or, without ``balanced``, from all rows together.
    """
    fraction = needed(settings.fraction, "fraction")
    if fraction == 1:
        return np.arange(len(labels))
    key = randomness.key("fraction", needed(settings.subset_seed, "subset_seed"))
    classes = labels if needed(settings.balanced, "balanced") else np.zeros_like(labels)
    return rows_of_each_class(
        key, classes, lambda counts: np.maximum(np.rint(counts * fraction), 1).astype(np.int64), draw
    )
