"""Sample rows, stratified by class or balanced over groups. A sample is a pure function of a key or a generator."""

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
    """Return random rows of each class: the rows with the smallest hashes under ``key`` (int64, ascending).

    labels: class of each row, int [rows]. wanted: function from the number of rows of each class (int64 [classes
    present]) to the number of rows to take from it. draw: number of the draw. Draw 0 takes the first rows of a class in
    hashed order, draw 1 the rows after these, and so on. Different draws share no row, so they are independent samples
    of the same population, as intervals over replicates assume. When a class has too few rows left, its rows are hashed
    again with the next number.
    """
    rows = np.arange(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sizes = np.asarray(wanted(counts))
    orders, places = np.divmod(
        draw, np.maximum(counts // np.maximum(sizes, 1), 1)
    )  # how many draws one order of a class can serve
    hashes = np.zeros(len(rows), np.uint64)
    for number in np.unique(orders).tolist():
        mine = orders[classes] == number
        hashes[mine] = randomness.bits(key, rows[mine], number)
    order = np.lexsort((rows, hashes, classes))  # by class, then by hash
    starts = np.cumsum(counts) - counts + places * sizes
    rank = rows - starts[classes[order]]  # position within the class, relative to the draw's first row
    return np.sort(order[(rank >= 0) & (rank < sizes[classes[order]])])


def balanced_draw(groups: np.ndarray, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return random rows (ascending) that hold equally many rows of each group, as many as the smallest group has.

    groups: group of each row, int [rows].
    """
    order = random.permutation(len(groups))
    fewest = np.bincount(groups).min()
    return np.sort(np.concatenate([order[groups[order] == group][:fewest] for group in range(groups.max() + 1)]))
