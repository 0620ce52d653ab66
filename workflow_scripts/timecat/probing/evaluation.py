"""Evaluate the selected heads of a probe on the evaluation split of another data set (stage `evaluate_probe`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, write_sidecar
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing import selected_heads
from workflow_scripts.timecat.probing.files import write_metrics, write_predictions
from workflow_scripts.timecat.runtime import command

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from workflow_scripts.timecat.probing.saved_heads import HeadsFile


@dataclass(frozen=True)
class Options(selected_heads.Options):
    """Options of the command line of the stage `evaluate_probe`, by name."""

    metrics: str
    predictions: str


def run(options: Options) -> None:
    """Lease a device, evaluate the heads, and write the metrics and the predictions."""
    device, rows, labels, heads = selected_heads.begin(options)
    classes = occurring_classes(labels, heads.description["classes"], options.evaluation_index)
    replicates = selected_heads.checked_features(options, heads, len(labels))
    command.log(f"{len(labels)} images of {len(classes)} of the probe's {heads.description['classes']} classes")

    from workflow_scripts.timecat.runtime.torch_settings import device_name

    metrics, predictions = [], []
    for replicate, members in enumerate(replicates):
        own, found = evaluate_replicate(replicate, members, heads, rows, labels, classes, device)
        metrics += own
        predictions.append(found)
    write_metrics(options.metrics, metrics)
    write_sidecar(
        options.predictions,
        write_predictions(options.predictions, predictions),
        params={"replicates": options.replicates, "torch_threads": options.torch_threads},
        inputs=input_digests(options),
        device=device_name(device),
    )


def occurring_classes(labels: "npt.NDArray[np.int64]", known: int, index: PathLike) -> "npt.NDArray[np.int64]":
    """Return the classes that occur in the labels, ascending.

    Raise UserError if there are no labels, or if the probe does not know one of them. known: number of classes of the
    probe. index: path of the index that has the labels, for the message.
    """
    import numpy as np

    classes = np.unique(labels)
    if not len(classes) or classes[0] < 0 or classes[-1] >= known:
        problem = f"has a label {classes[-1]}" if len(classes) else "has no rows"
        raise UserError(
            f"{index} {problem}, but the probe has {known} classes (0 to {known - 1}): rebuild the data set and rerun "
            "the probe"
        )
    return classes


def evaluate_replicate(
    replicate: int,
    members: "Sequence[np.ndarray]",
    heads: "HeadsFile",
    rows: "npt.NDArray[np.int64]",
    labels: "npt.NDArray[np.int64]",
    classes: "npt.NDArray[np.int64]",
    device: str,
) -> "tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]":
    """Return the metrics (as rows) and the predictions (as columns) of one replicate's heads, one per selection.

    members: features of each member of the replicate, [rows, D_m]. rows, labels: columns of the index. classes: classes
    that occur in the labels, ascending.
    """
    import numpy as np

    from workflow_scripts.timecat.features.reader import InMemory
    from workflow_scripts.timecat.probing.probe import evaluate
    from workflow_scripts.timecat.probing.selection import SELECTIONS

    description, projection = heads.replicates[replicate], heads.projection(replicate)
    features = InMemory(np.concatenate(members, axis=1), None if projection is None else projection.on(device))
    truth = np.searchsorted(classes, labels)
    metrics: list[dict[str, Any]] = []
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("selection", "replicate", "row", "label", "predicted", "probability")
    }
    for selection in SELECTIONS:
        chosen = description["heads"][selection]
        head = heads.head(replicate, selection).of_classes(classes)
        score = evaluate(head.stacked(device), features, truth, device)
        metrics.append(
            {
                "replicate": replicate,
                "members": description["members"],
                "weight_decay": chosen["weight_decay"],
                "fit": "full",
                "epoch": chosen["epoch"],
                "split": "evaluation",
                "top1": float(score.top1[0]),
                "top5": float(score.top5[0]),
                "loss": float(score.loss[0]),
                "selection": selection,
            }
        )
        command.log(f"replicate {replicate}, selection {selection}: top-1 {metrics[-1]['top1']:.2f} %")
        columns["selection"].append(np.full(len(rows), selection))
        columns["replicate"].append(np.full(len(rows), replicate, dtype=np.int64))
        columns["row"].append(rows)
        columns["label"].append(labels)
        if score.predicted is None or score.probability is None:
            raise ValueError("scores on the evaluation split lack predictions")
        columns["predicted"].append(classes[score.predicted[0]])
        columns["probability"].append(score.probability[0])
    return metrics, columns


def input_digests(options: Options) -> dict[str, str]:
    """Return the digests of the index, the heads and each member's features, under names that contain no path."""
    from workflow_scripts.timecat.features.members import feature_digests

    return {
        "evaluation_index": digest(Path(options.evaluation_index).read_bytes()),
        "heads": read_sidecar(options.heads)["content"],
        **feature_digests(options.features, options.replicates),
    }
