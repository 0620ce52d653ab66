"""The files around scores: a data set's index that is read, metrics and predictions that are written."""

import math

from workflow_scripts.timecat import artifacts, command


def read_index(path):
    """Columns row and label of an index, as int64 arrays."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["row", "label"])
    return tuple(table[name].to_numpy().astype("int64") for name in ("row", "label"))


def read_data_set(train_index, evaluation_index, heldout: dict):
    """scoring.DataSet of both indices; heldout: {"seed", "fraction"}."""
    from workflow_scripts.timecat.heldout import heldout_rows
    from workflow_scripts.timecat.scoring import DataSet

    _, train_labels = read_index(train_index)
    evaluation_rows, evaluation_labels = read_index(evaluation_index)
    return DataSet(
        train_labels=train_labels,
        evaluation_labels=evaluation_labels,
        evaluation_rows=evaluation_rows,
        heldout=heldout_rows(train_labels, heldout["seed"], heldout["fraction"]),
    )


def log_report(replicate: int, members, report) -> None:
    """Log what each selection chose of a scoring.Report, and which heads diverged."""
    chosen = "; ".join(
        f"{name}: weight decay {selected.weight_decay:g}, epoch {selected.epoch}, top-1 {selected.top1:.2f} %"
        for name, selected in report.selected.items()
    )
    command.log(f"replicate {replicate} (seeds {', '.join(map(str, members))}): {chosen}")
    diverged = {(row["fit"], row["weight_decay"]) for row in report.metrics if not math.isfinite(row["loss"])}
    for fit, weight_decay in sorted(diverged):
        command.log(f"replicate {replicate}: the {fit} head with weight decay {weight_decay:g} diverged, not selected")


def write_metrics(path, rows: list[dict]) -> None:
    """Write the metrics, one row each, as Parquet."""
    import pyarrow as pa

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
        }
    )
    write_parquet(path, pa.Table.from_pylist(rows, schema))


def write_predictions(path, replicates: list[dict]) -> str:
    """Write the predictions as Parquet; returns the digest of their content."""
    import numpy as np
    import pyarrow as pa

    columns = {name: np.concatenate([part for one in replicates for part in one[name]]) for name in replicates[0]}
    write_parquet(path, pa.table(columns))
    return artifacts.digest({name: artifacts.digest(column.tobytes()) for name, column in columns.items()})


def write_parquet(path, table) -> None:
    """Write a pyarrow table as Parquet, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    artifacts.write_bytes(path, buffer.getvalue().to_pybytes())
