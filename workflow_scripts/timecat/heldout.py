"""Which training rows the selection holds out: a function of (selection seed, labels), the same for every arm."""

import numpy as np

from workflow_scripts.timecat import randomness


def heldout_rows(labels, seed: int, fraction: float = 0.1) -> np.ndarray:
    """Rows held out of a data set's training split, int64, ascending.

    labels: class of each row, int [rows]. Of each class the round(n_c * fraction) rows with the smallest hash of (seed,
    row) are taken (a half rounds to even): at least one, but never all, so a class of a single row gives none.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the held-out fraction is {fraction}; it must lie between 0 and 1")
    labels = np.asarray(labels)
    rows = np.arange(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = np.minimum(np.maximum(np.rint(counts * fraction), 1), counts - 1).astype(np.int64)
    order = np.lexsort((rows, randomness.bits(randomness.key("heldout", int(seed)), rows), classes))  # by class, hash
    starts = np.cumsum(counts) - counts
    rank = rows - starts[classes[order]]  # place within the class
    return np.sort(order[rank < wanted[classes[order]]])
