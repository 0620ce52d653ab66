"""Probe every replicate of one arm on one data set: all weight decays and both fits, from features on disk.

Writes one Parquet of metrics (a row per replicate, fit, weight decay, epoch and split), the selected heads and one Parquet
of their predictions on the evaluation split, both with a sidecar. The bytes are a function of what is read and told.
"""

import argparse
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.probing.files import write_metrics, write_predictions
from workflow_scripts.timecat.probing.protocol import Protocol
from workflow_scripts.timecat.probing.replicates import log_report, read_data_set
from workflow_scripts.timecat.runtime import command, devices
from workflow_scripts.timecat.runtime.json_arguments import json_of

if TYPE_CHECKING:
    from workflow_scripts.timecat.probing.probe import Probe
    from workflow_scripts.timecat.probing.scoring import DataSet


def main() -> None:
    """Read the command line, probe, write."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument("--train-index", required=True, help="Parquet with columns row, label, in data set order")
    parser.add_argument("--evaluation-index", required=True, help="the same of the evaluation split")
    parser.add_argument("--views", type=json_of(list[str]), required=True, help="training views, in epoch order")
    parser.add_argument("--protocol", type=json_of(Protocol), required=True, help="the block probe")
    parser.add_argument("--heldout", type=json_of(Heldout), required=True, help='{"seed": ..., "fraction": ...}')
    parser.add_argument("--torch-threads", type=int, required=True, help="can change the last bits of a number")
    parser.add_argument("--gpus", type=int, required=True, help="0 computes on the CPU")
    parser.add_argument("--memory-gb", type=float, required=True, help="of features at once; changes no byte")
    parser.add_argument("--metrics", required=True, help="Parquet of metrics")
    parser.add_argument("--predictions", required=True, help="Parquet of the selected heads' predictions")
    parser.add_argument("--heads", required=True, help="safetensors of the selected heads")
    args = parser.parse_args()

    device = devices.acquire(args.gpus)  # before torch can see a GPU
    from workflow_scripts.timecat.features.members import by_replicate
    from workflow_scripts.timecat.probing import probe as probing
    from workflow_scripts.timecat.probing.saved_heads import write_heads
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(args.torch_threads, device)
    command.log_start_up()
    data = read_data_set(args.train_index, args.evaluation_index, args.heldout)
    folders, files = by_replicate(args.features, args.replicates), probing.file_rows(data, args.views)
    probing.check_features(args.features, files)
    check_device(device, args, data, args.protocol)

    probes, machine = [], probing.Machine(device, 1e9 * args.memory_gb)
    for replicate, (members, own) in enumerate(zip(args.replicates, folders, strict=True)):
        probes.append(probing.probe_replicate(replicate, members, own, args.views, data, args.protocol, machine))
        log_report(replicate, members, probes[-1])

    write_metrics(args.metrics, [row for probe in probes for row in probe.metrics])
    contents = {
        args.predictions: write_predictions(args.predictions, [probe.predictions for probe in probes]),
        args.heads: write_heads(
            args.heads,
            {(number, name): head for number, probe in enumerate(probes) for name, head in probe.heads.items()},
            describe_heads(args, probes, data.classes, len(data.evaluation_labels)),
        ),
    }
    params = {
        "replicates": args.replicates,
        "views": args.views,
        "protocol": args.protocol,
        "heldout": args.heldout,
        "torch_threads": args.torch_threads,
    }
    inputs, name = input_digests(args, files), torch_settings.device_name(device)
    for artifact, content in contents.items():
        write_sidecar(artifact, content, params, inputs, device=name)


def check_device(device: str, args: argparse.Namespace, data: "DataSet", protocol: "Protocol") -> None:
    """UserError for a replicate whose heads do not fit the GPU, before anything is trained."""
    if device != "cuda":
        return
    import torch

    from workflow_scripts.timecat.features import memory as probe_memory
    from workflow_scripts.timecat.features.members import evaluation_features

    total = torch.cuda.get_device_properties(0).total_memory
    for members in evaluation_features(args.features, args.replicates, len(data.evaluation_labels)):
        probe_memory.check_device(
            total,
            len(protocol.weight_decays),
            data.classes,
            sum(features.shape[1] for features in members),
            protocol.batch_size,
            len(data.train_labels),
            batch_norm=protocol.batch_norm,
            stored=max(features.itemsize for features in members),
        )


def describe_heads(args: argparse.Namespace, probes: "Iterable[Probe]", classes: int, rows: int) -> dict[str, Any]:
    """What the heads file says of its heads (saved_heads); rows: of the evaluation split."""
    from workflow_scripts.timecat.features.members import evaluation_features

    features = evaluation_features(args.features, args.replicates, rows)
    return {
        "classes": classes,
        "replicates": [
            {
                "members": members,
                "dimensions": [member.shape[1] for member in own],
                "heads": {name: selected._asdict() for name, selected in probe.selected.items()},
            }
            for members, own, probe in zip(args.replicates, features, probes)
        ],
    }


def input_digests(args: argparse.Namespace, files: Collection[str]) -> dict[str, str]:
    """Digest of each index and of each feature file, the latter from its folder's sidecar; names hold no path."""
    from workflow_scripts.timecat.features.members import feature_digests

    return {
        "train_index": digest(Path(args.train_index).read_bytes()),
        "evaluation_index": digest(Path(args.evaluation_index).read_bytes()),
        **feature_digests(args.features, args.replicates, files),
    }


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
