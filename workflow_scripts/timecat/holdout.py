"""Which training rows the selection holds out: a function of (selection seed, labels), the same for every arm."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.sampling import rows_of_each_class


def heldout_rows(labels: Sequence[int] | np.ndarray, seed: int, fraction: float) -> npt.NDArray[np.int64]:
    """Rows held out of a data set's training split, int64, ascending.

    labels: class of each row, int [rows]. Of each class the round(n_c * fraction) rows with the smallest hash of (seed,
    row) are taken (a half rounds to even): at least one, but never all, so a class of a single row gives none.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the held-out fraction is {fraction}; it must lie between 0 and 1")
    return rows_of_each_class(
        randomness.key("heldout", int(seed)),
        labels,
        lambda counts: np.minimum(np.maximum(np.rint(counts * fraction), 1), counts - 1).astype(np.int64),
    )


class Draw(NamedTuple):
    """Rows of a training file, int64, ascending: those of one draw, and those of them that are held out."""

    rows: npt.NDArray[np.int64]
    heldout: npt.NDArray[np.int64]


def with_heldout(draws: Sequence[npt.NDArray[np.int64]], labels: np.ndarray, seed: int, fraction: float) -> list[Draw]:
    """Return draws (rows of each, draws.rows_of_draws) with the rows that are held out of each, as if it were the data set.

    labels: of all rows of the training file, int [rows].
    """
    return [Draw(rows, rows[heldout_rows(labels[rows], seed, fraction)]) for rows in draws]


def heldout_of_any(draws: Sequence[Draw]) -> npt.NDArray[np.int64]:
    """Return the rows that are held out of any draw, ascending: those whose evaluation crops are extracted."""
    return np.unique(np.concatenate([draw.heldout for draw in draws]))
