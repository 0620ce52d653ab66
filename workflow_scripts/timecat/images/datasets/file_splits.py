"""What all data sets of images share: rows of a fraction of the training split, and a split made of listed files."""

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
    """The split of image files at ``names`` (paths below the data set's root), less what ``fraction`` leaves out.

    labels: int [files]. groups: further columns of the index, name -> array [files].
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
    """The rows of a split that are used, ascending: of the training split those that ``fraction`` asks for.

    Of several draws, those of the first come first, then those of the second that are not among them, and so on; and bool
    [rows, draws] says which each row is in. So what is a function of a row's number, its crops for example, is for the first
    draw what it is without others.
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
    """The training rows of a draw of ``fraction``, ascending: of each class (at least one), or of all together."""
    fraction = needed(settings.fraction, "fraction")
    if fraction == 1:
        return np.arange(len(labels))
    key = randomness.key("fraction", needed(settings.subset_seed, "subset_seed"))
    classes = labels if needed(settings.balanced, "balanced") else np.zeros_like(labels)
    return rows_of_each_class(
        key, classes, lambda counts: np.maximum(np.rint(counts * fraction), 1).astype(np.int64), draw
    )
