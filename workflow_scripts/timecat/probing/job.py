"""Probe every replicate of one arm on one data set, from features on disk (stage `probe`)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.probing.files import write_metrics, write_predictions
from workflow_scripts.timecat.probing.protocol import Protocol, Regression
from workflow_scripts.timecat.probing.replicates import log_report, read_data_set
from workflow_scripts.timecat.runtime import command, devices

if TYPE_CHECKING:
    from workflow_scripts.timecat.probing.probe import Probe
    from workflow_scripts.timecat.probing.scoring import DataSet


@dataclass(frozen=True)
class Options:
    """Options of the command line of the stage `probe`, by name."""

    features: list[str]
    replicates: list[list[int]]
    train_index: str
    evaluation_index: str
    views: list[str]
    protocol: Protocol | Regression
    heldout: Heldout
    torch_threads: int
    gpus: int
    memory_gb: float
    metrics: str
    predictions: str
    heads: str


def run(options: Options) -> None:
    """Lease a device, probe all replicates, and write the metrics, the heads and the predictions."""
    device = devices.acquire(options.gpus)  # before torch can see a GPU
    from workflow_scripts.timecat.features.members import by_replicate
    from workflow_scripts.timecat.probing import probe as probing
    from workflow_scripts.timecat.probing import regression
    from workflow_scripts.timecat.probing.saved_heads import write_heads
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(options.torch_threads, device)
    command.log_start_up()
    data = read_data_set(options.train_index, options.evaluation_index, options.heldout)
    folders, files = by_replicate(options.features, options.replicates), probing.file_rows(data, options.views)
    probing.check_features(options.features, files)
    check_device(device, options, data, options.protocol)

    probes, machine = [], probing.Machine(device, 1e9 * options.memory_gb)
    for replicate, (members, own) in enumerate(zip(options.replicates, folders, strict=True)):
        of_replicate = replicate, members, own, options.views, data
        if isinstance(options.protocol, Regression):
            probes.append(regression.regress_replicate(*of_replicate, options.protocol, machine))
        else:
            probes.append(probing.probe_replicate(*of_replicate, options.protocol, machine))
        log_report(replicate, members, probes[-1])

    write_metrics(options.metrics, [row for probe in probes for row in probe.metrics])
    contents = {
        options.predictions: write_predictions(options.predictions, [probe.predictions for probe in probes]),
        options.heads: write_heads(
            options.heads,
            {(number, name): head for number, probe in enumerate(probes) for name, head in probe.heads.items()},
            describe_heads(options, probes, data.classes, len(data.evaluation_labels)),
            {number: probe.projection for number, probe in enumerate(probes)},
        ),
    }
    params = {
        "replicates": options.replicates,
        "views": options.views,
        "protocol": options.protocol,
        "heldout": options.heldout,
        "torch_threads": options.torch_threads,
    }
    inputs, name = input_digests(options, files), torch_settings.device_name(device)
    for artifact, content in contents.items():
        write_sidecar(artifact, content, params, inputs, device=name)


def check_device(device: str, options: Options, data: "DataSet", protocol: Protocol | Regression) -> None:
    """Raise UserError if the heads of a replicate do not fit into GPU memory, before anything is trained."""
    if device != "cuda":
        return
    import torch

    from workflow_scripts.timecat.features import memory
    from workflow_scripts.timecat.features.members import evaluation_features
    from workflow_scripts.timecat.probing import regression
    from workflow_scripts.timecat.probing.reduction import room_beside

    total = torch.cuda.get_device_properties(0).total_memory
    for members in evaluation_features(options.features, options.replicates, len(data.evaluation_labels)):
        columns = sum(features.shape[1] for features in members)
        left, dimension = total, columns
        if (reduction := protocol.reduce) is not None:
            left, dimension = room_beside(total, reduction, columns), reduction.dimensions
        sizes = len(protocol.weight_decays), data.classes, dimension
        if isinstance(protocol, Regression):
            regression.check_device(left, *sizes)
            continue
        memory.check_device(
            left,
            *sizes,
            protocol.batch_size,
            len(data.train_labels),
            batch_norm=protocol.batch_norm,
            stored=max(features.itemsize for features in members),
        )


def describe_heads(options: Options, probes: "Iterable[Probe]", classes: int, rows: int) -> dict[str, Any]:
    """Return the description that is saved with the heads (see saved_heads).

    rows: number of rows of the evaluation split.
    """
    from workflow_scripts.timecat.features.members import evaluation_features

    features = evaluation_features(options.features, options.replicates, rows)
    return {
        "classes": classes,
        "replicates": [
            {
                "members": members,
                "dimensions": [member.shape[1] for member in own],
                "heads": {name: selected._asdict() for name, selected in probe.selected.items()},
            }
            for members, own, probe in zip(options.replicates, features, probes)
        ],
    }


def input_digests(options: Options, files: Collection[str]) -> dict[str, str]:
    """Return the digests of both indices and of each feature file (from sidecars), under names that contain no path."""
    from workflow_scripts.timecat.features.members import feature_digests

    return {
        "train_index": digest(Path(options.train_index).read_bytes()),
        "evaluation_index": digest(Path(options.evaluation_index).read_bytes()),
        **feature_digests(options.features, options.replicates, files),
    }
