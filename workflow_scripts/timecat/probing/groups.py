"""Groups of rows for worst-group accuracy and reweighting: each combination of a label and columns of an index."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError

if TYPE_CHECKING:
    import pyarrow


def groups_of(index: "pyarrow.Table", columns: Sequence[str], path: PathLike) -> np.ndarray:
    """Return the group number of each row of an index, made of its label and the named columns.

    path: file of the index, for the message. Raise UserError if the index lacks one of the columns.
    """
    for name in columns:
        if name not in index.column_names:
            raise UserError(
                f"reweight.groups: {path} has no column {name!r} (it has {', '.join(index.column_names)}): "
                "correct the config"
            )
    return group_codes(index["label"].to_numpy(), [index[name].to_pylist() for name in columns])


def group_codes(labels: np.ndarray, columns: Sequence[npt.ArrayLike]) -> npt.NDArray[np.intp]:
    """Return the group number of each row, int [rows], from 0: one number per combination of a label and values."""
    texts = [np.asarray(values).astype(str) for values in (labels, *columns)]
    return np.unique(np.stack(texts), axis=1, return_inverse=True)[1].ravel()


def group_accuracies(hits: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the accuracy of each group, in percent, from hits (bool [rows])."""
    return 100.0 * np.bincount(groups, hits) / np.bincount(groups)
