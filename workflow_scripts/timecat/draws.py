"""Read which rows of a few-shot data set belong to each draw (a random sample of its training rows).

Replicate r trains on the rows of draw r modulo the number of draws. A training file holds the rows of all draws. The
column ``draws`` of its index, which only few-shot data sets have, lists the draws that each row belongs to.
"""

import os

import numpy as np
import numpy.typing as npt

COLUMN = "draws"


def rows_of_draws(index: str | os.PathLike[str]) -> list[npt.NDArray[np.int64]]:
    """Return a list with the row numbers (ascending) of each draw of a training file.

    The list is empty if the index has no column ``draws``: all rows are then used.
    """
    import pyarrow.parquet as pq

    if COLUMN not in pq.read_schema(index).names:
        return []
    found = pq.read_table(index, columns=[COLUMN])[COLUMN].to_pylist()
    rows = np.repeat(np.arange(len(found)), [len(draws) for draws in found])
    draws = np.array([draw for draws in found for draw in draws], np.int64)
    return [rows[draws == draw] for draw in range(draws.max() + 1)]
