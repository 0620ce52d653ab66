"""Read what other stages have written: a split's index with its group columns, and columns of predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError

if TYPE_CHECKING:
    import pyarrow


def read_index_table(path: PathLike) -> "pyarrow.Table":
    """Return a split's index as a pyarrow table, including its group columns."""
    return _read(path, None, "write_dataset")


def read_predictions(path: PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the named columns of a file of predictions as arrays, by name."""
    table = _read(path, list(names), "probe, evaluate_probe or transfer")
    return {name: table[name].to_numpy() for name in names}


def _read(path: PathLike, columns: list[str] | None, rule: str) -> "pyarrow.Table":
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path, columns=columns)
    except (OSError, pyarrow.ArrowInvalid) as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as an output of rule {rule} ({first}); delete it and run again"
        ) from None
