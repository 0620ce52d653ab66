"""Read a split's index, and write metrics and predictions as Parquet, for all stages that train or evaluate heads."""

from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike, atomic_path

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def read_index(path: PathLike) -> "tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]":
    """Return the columns row and label of an index as int64 arrays."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["row", "label"])
    rows, labels = (table[name].to_numpy().astype("int64") for name in ("row", "label"))
    return rows, labels


def write_metrics(path: PathLike, rows: list[dict[str, Any]]) -> None:
    """Write rows of metrics as Parquet.

    Two columns are written only if the rows have them: ``relative_gradient`` of a probe's heads (see objective), and
    ``selection``, the name of the selection that chose the head.
    """
    import pyarrow as pa

    optional = {"relative_gradient": pa.float64(), "selection": pa.string()}
    schema = pa.schema(
        {
            "replicate": pa.int64(),
            "members": pa.list_(pa.int64()),
            "weight_decay": pa.float64(),
            "fit": pa.string(),
            "epoch": pa.int64(),
            "split": pa.string(),
            "top1": pa.float64(),
            "top5": pa.float64(),
            "loss": pa.float64(),
            **{name: kind for name, kind in optional.items() if rows and name in rows[0]},
        }
    )
    write_table(path, pa.Table.from_pylist(rows, schema))


def write_predictions(path: PathLike, replicates: list[dict[str, "list[np.ndarray]"]]) -> str:
    """Write the predictions of all replicates as Parquet and return the digest of their content."""
    import numpy as np
    import pyarrow as pa

    columns = {name: np.concatenate([part for one in replicates for part in one[name]]) for name in replicates[0]}
    write_table(path, pa.table(columns))
    return digest({name: digest(column.tobytes()) for name, column in columns.items()})


def write_table(path: PathLike, table: "pa.Table") -> None:
    """Write a pyarrow table as Parquet, atomically."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
