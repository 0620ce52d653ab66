"""Probe every replicate of one arm on one data set: all weight decays and both fits, from features on disk.

Writes one Parquet of metrics (a row per replicate, fit, weight decay, epoch and split) and one of the selected heads'
predictions on the evaluation split, with a sidecar. The bytes are a function of what is read and told.
"""

import math
import os
from pathlib import Path

from workflow_scripts.timecat import artifacts, command, devices
from workflow_scripts.timecat.artifacts import UserError


def main() -> None:
    """Read the command line, probe, write."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=command.json_value, required=True, help="[[seed, ...], ...]")
    parser.add_argument("--train-index", required=True, help="Parquet with columns row, label, in data set order")
    parser.add_argument("--evaluation-index", required=True, help="the same of the evaluation split")
    parser.add_argument("--views", type=command.json_value, required=True, help="training views, in epoch order")
    parser.add_argument("--protocol", type=command.json_value, required=True, help="fields of probing.Protocol")
    parser.add_argument("--heldout", type=command.json_value, required=True, help='{"seed": ..., "fraction": ...}')
    parser.add_argument("--torch-threads", type=int, required=True, help="can change the last bits of a number")
    parser.add_argument("--gpus", type=int, required=True, help="0 computes on the CPU")
    parser.add_argument("--memory-gb", type=float, required=True, help="of features at once; changes no byte")
    parser.add_argument("--metrics", required=True, help="Parquet of metrics")
    parser.add_argument("--predictions", required=True, help="Parquet of the selected heads' predictions")
    args = parser.parse_args()

    count = sum(map(len, args.replicates))
    if len(args.features) != count:
        raise UserError(f"--features names {len(args.features)} folders, --replicates {count} members; give one each")

    device = devices.acquire(args.gpus)  # before torch can see a GPU
    from workflow_scripts.timecat import probing, torch_settings
    from workflow_scripts.timecat.heldout import heldout_rows

    torch_settings.configure(args.torch_threads, device)
    command.log_start_up()
    protocol = probing.Protocol(**args.protocol)
    _, train_labels = read_index(args.train_index)
    evaluation_rows, evaluation_labels = read_index(args.evaluation_index)
    data = probing.DataSet(
        train_labels=train_labels,
        evaluation_labels=evaluation_labels,
        evaluation_rows=evaluation_rows,
        heldout=heldout_rows(train_labels, args.heldout["seed"], args.heldout["fraction"]),
    )
    files = probing.file_rows(data, args.views)
    probing.check_features(args.features, files)
    check_device(device, args, data, protocol)

    probes, folders = [], iter(args.features)
    for replicate, members in enumerate(args.replicates):
        own = [next(folders) for _ in members]
        memory = 1e9 * args.memory_gb
        probes.append(probing.probe_replicate(replicate, members, own, args.views, data, protocol, device, memory))
        report(replicate, members, probes[-1])

    write_metrics(args.metrics, [row for probe in probes for row in probe.metrics])
    content = write_predictions(args.predictions, [probe.predictions for probe in probes])
    artifacts.write_sidecar(
        args.predictions,
        content,
        params={
            "replicates": args.replicates,
            "views": args.views,
            "protocol": args.protocol,
            "heldout": args.heldout,
            "torch_threads": args.torch_threads,
        },
        inputs=input_digests(args, files),
        device=torch_settings.device_name(device),
    )


def read_index(path):
    """Columns row and label of an index, as int64 arrays."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["row", "label"])
    return tuple(table[name].to_numpy().astype("int64") for name in ("row", "label"))


def check_device(device: str, args, data, protocol) -> None:
    """UserError for a replicate whose heads do not fit the GPU, before anything is trained."""
    if device != "cuda":
        return
    import numpy as np
    import torch

    from workflow_scripts.timecat import probe_memory
    from workflow_scripts.timecat.feature_files import EVALUATION

    total, folders = torch.cuda.get_device_properties(0).total_memory, iter(args.features)
    for members in args.replicates:
        own = [np.load(Path(next(folders)) / EVALUATION, mmap_mode="r") for _ in members]
        probe_memory.check_device(
            total,
            len(protocol.weight_decays),
            data.classes,
            sum(features.shape[1] for features in own),
            protocol.batch_size,
            len(data.train_labels),
            batch_norm=protocol.batch_norm,
            stored=max(features.itemsize for features in own),
        )


def report(replicate: int, members, probe) -> None:
    """Log what each selection chose, and which heads diverged."""
    chosen = "; ".join(
        f"{name}: weight decay {selected.weight_decay:g}, epoch {selected.epoch}, top-1 {selected.top1:.2f} %"
        for name, selected in probe.selected.items()
    )
    command.log(f"replicate {replicate} (seeds {', '.join(map(str, members))}): {chosen}")
    diverged = {(row["fit"], row["weight_decay"]) for row in probe.metrics if not math.isfinite(row["loss"])}
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
    _write_parquet(path, pa.Table.from_pylist(rows, schema))


def write_predictions(path, replicates: list[dict]) -> str:
    """Write the predictions as Parquet; returns the digest of their content."""
    import numpy as np
    import pyarrow as pa

    columns = {name: np.concatenate([part for one in replicates for part in one[name]]) for name in replicates[0]}
    _write_parquet(path, pa.table(columns))
    return artifacts.digest({name: artifacts.digest(column.tobytes()) for name, column in columns.items()})


def input_digests(args, files) -> dict[str, str]:
    """Digest of each index and of each feature file, the latter from its folder's sidecar; names hold no path."""
    import numpy as np

    digests = {
        "train_index": artifacts.digest(Path(args.train_index).read_bytes()),
        "evaluation_index": artifacts.digest(Path(args.evaluation_index).read_bytes()),
    }
    folders = iter(args.features)
    for replicate, members in enumerate(args.replicates):
        for seed in members:
            folder = Path(next(folders))
            known = artifacts.read_sidecar(folder)["files"] if artifacts.sidecar_path(folder).exists() else {}
            for name in files:
                digest = known.get(name) or artifacts.array_digest(np.load(folder / name, mmap_mode="r"))
                digests[f"{replicate}/{seed}/{name}"] = digest
    return digests


def _write_parquet(path, table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    artifacts.write_bytes(path, buffer.getvalue().to_pybytes())


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
