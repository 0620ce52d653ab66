"""Samples of rows that are stratified by class or balanced over groups: pure functions of a key or a generator."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness


def rows_of_each_class(
    key: int,
    labels: Sequence[int] | np.ndarray,
    wanted: Callable[[npt.NDArray[np.int64]], npt.ArrayLike],
    draw: int = 0,
) -> npt.NDArray[np.int64]:
    """Of each class the rows with the smallest hash under ``key``, or those of a further draw: int64 row numbers, ascending.

    labels: class of each row, int [rows]. wanted: function from the classes' numbers of rows (int64 [classes present])
    to how many of each are taken. draw: its number. Draw d of a class takes the next so many rows of its hashed order, so
    that draws share no row: they are independent samples of what the rows are a sample of, as intervals over replicates
    suppose, and draws that overlap are not. Where a class has no further rows, its rows are hashed anew.
    """
    rows = np.arange(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sizes = np.asarray(wanted(counts))
    orders, places = np.divmod(
        draw, np.maximum(counts // np.maximum(sizes, 1), 1)
    )  # draws of a class that fit an order
    hashes = np.zeros(len(rows), np.uint64)
    for number in np.unique(orders).tolist():
        mine = orders[classes] == number
        hashes[mine] = randomness.bits(key, rows[mine], number)
    order = np.lexsort((rows, hashes, classes))  # by class, then by hash
    starts = np.cumsum(counts) - counts + places * sizes
    rank = rows - starts[classes[order]]  # place within the class, from the draw's first row
    return np.sort(order[(rank >= 0) & (rank < sizes[classes[order]])])


def balanced_draw(groups: np.ndarray, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows, ascending: as many of each group (int [rows]) as the smallest has."""
    order = random.permutation(len(groups))
    fewest = np.bincount(groups).min()
    return np.sort(np.concatenate([order[groups[order] == group][:fewest] for group in range(groups.max() + 1)]))
