"""Which training rows the selection holds out: a function of (selection seed, labels), the same for every arm."""

from collections.abc import Sequence

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
