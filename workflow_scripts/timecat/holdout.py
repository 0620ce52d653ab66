"""Choose the training rows that are held out for selection.

The choice depends only on the selection seed and the labels, so all arms have the same held-out rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.sampling import rows_of_each_class


def heldout_rows(labels: Sequence[int] | np.ndarray, seed: int, fraction: float) -> npt.NDArray[np.int64]:
    """Return the held-out rows of a data set's training split, int64, ascending.

    labels: class of each row, int [rows]. In a class of n rows, the round(n * fraction) rows with the smallest hash of
    (seed, row) are held out, where a half rounds to even. At least one row of a class is held out, but never all of
    them, so a class of one row has no held-out row.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the held-out fraction is {fraction}; it must be between 0 and 1")
    return rows_of_each_class(
        randomness.key("heldout", int(seed)),
        labels,
        lambda counts: np.minimum(np.maximum(np.rint(counts * fraction), 1), counts - 1).astype(np.int64),
    )


class Draw(NamedTuple):
    """One draw of a training file.

    rows: row numbers of the draw. heldout: held-out rows of the draw, a subset of ``rows``. Both int64, ascending.
    """

    rows: npt.NDArray[np.int64]
    heldout: npt.NDArray[np.int64]


def with_heldout(draws: Sequence[npt.NDArray[np.int64]], labels: np.ndarray, seed: int, fraction: float) -> list[Draw]:
    """Return each draw together with its held-out rows, chosen as if the draw were the complete data set.

    draws: rows of each draw (draws.rows_of_draws). labels: class of every row of the file, int [rows].
    """
    return [Draw(rows, rows[heldout_rows(labels[rows], seed, fraction)]) for rows in draws]


def heldout_of_any(draws: Sequence[Draw]) -> npt.NDArray[np.int64]:
    """Return the rows (ascending) that at least one draw holds out.

    Features of their evaluation crops are extracted, since selection evaluates heads on them.
    """
    return np.unique(np.concatenate([draw.heldout for draw in draws]))
