"""Samples of rows that are stratified by class or balanced over groups: pure functions of a key or a generator."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness


def rows_of_each_class(
    key: int, labels: Sequence[int] | np.ndarray, wanted: Callable[[npt.NDArray[np.int64]], npt.ArrayLike]
) -> npt.NDArray[np.int64]:
    """Of each class the rows with the smallest hash under ``key``: int64 row numbers, ascending.

    labels: class of each row, int [rows]. wanted: function from the classes' numbers of rows (int64 [classes present])
    to how many of each are taken.
    """
    rows = np.arange(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((rows, randomness.bits(key, rows), classes))  # by class, then by hash
    starts = np.cumsum(counts) - counts
    rank = rows - starts[classes[order]]  # place within the class
    return np.sort(order[rank < np.asarray(wanted(counts))[classes[order]]])


def balanced_draw(groups: np.ndarray, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows, ascending: as many of each group (int [rows]) as the smallest has."""
    order = random.permutation(len(groups))
    fewest = np.bincount(groups).min()
    return np.sort(np.concatenate([order[groups[order] == group][:fewest] for group in range(groups.max() + 1)]))
