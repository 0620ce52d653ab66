"""The draws of a few-shot data set: which training rows each replicate has. Replicate r has draw r modulo their number.

A training file holds the rows of all draws. Its index says in the column ``draws``, which no other data set has, in which of
them each row is.
"""

import os

import numpy as np
import numpy.typing as npt

COLUMN = "draws"


def rows_of_draws(index: str | os.PathLike[str]) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each draw of a training file, ascending, from its index; none where each replicate has all rows."""
    import pyarrow.parquet as pq

    if COLUMN not in pq.read_schema(index).names:
        return []
    found = pq.read_table(index, columns=[COLUMN])[COLUMN].to_pylist()
    rows = np.repeat(np.arange(len(found)), [len(draws) for draws in found])
    draws = np.array([draw for draws in found for draw in draws], np.int64)
    return [rows[draws == draw] for draw in range(draws.max() + 1)]
