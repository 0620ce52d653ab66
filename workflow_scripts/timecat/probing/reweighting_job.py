"""Reweight every replicate of one arm on one data set, from features on disk (stage `reweight`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.draws import rows_of_draws
from workflow_scripts.timecat.probing.files import write_metrics, write_predictions
from workflow_scripts.timecat.probing.readers import read_index_table
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime import command


@dataclass(frozen=True)
class Options:
    """Options of the command line of the stage `reweight`, by name."""

    features: list[str]
    replicates: list[list[int]]
    train_index: str
    evaluation_index: str
    views: list[str]
    settings: Reweighting
    metrics: str
    predictions: str


def run(options: Options) -> None:
    """Fit a last layer for each replicate, and write the metrics and the predictions."""
    from workflow_scripts.timecat.features.files import open_features
    from workflow_scripts.timecat.features.members import by_replicate, feature_digests
    from workflow_scripts.timecat.features.names import EVALUATION, training_file
    from workflow_scripts.timecat.probing import reweighting
    from workflow_scripts.timecat.probing.groups import groups_of

    command.log_start_up()
    train, evaluation = read_index_table(options.train_index), read_index_table(options.evaluation_index)
    labels, groups = train["label"].to_numpy(), groups_of(train, options.settings.groups, options.train_index)
    truth, view = evaluation["label"].to_numpy(), training_file(options.views[0])
    metrics, predictions = [], []
    draws = rows_of_draws(options.train_index) or [np.arange(len(labels))]
    for replicate, (members, own) in enumerate(
        zip(options.replicates, by_replicate(options.features, options.replicates), strict=True)
    ):
        features, held = (
            np.hstack([open_features(Path(folder) / name, len(rows)) for folder in own])
            for name, rows in ((view, labels), (EVALUATION, truth))
        )
        rows = draws[replicate % len(draws)]
        own_groups = np.unique(groups[rows], return_inverse=True)[1]  # numbers of the groups that occur in this draw
        layer = reweighting.fit_last_layer(features[rows], labels[rows], own_groups, options.settings)
        logits = layer.logits(held)
        predicted = (logits > 0).astype(np.int64)
        hits = predicted == truth
        top1, loss = 100 * float(hits.mean()), float(np.logaddexp(0, np.where(truth == 1, -logits, logits)).mean())
        command.log(f"replicate {replicate} (seeds {', '.join(map(str, members))}): c {layer.c:g}, top-1 {top1:.2f} %")
        line = {"replicate": replicate, "members": members, "fit": "full", "epoch": 1, "split": "evaluation"}
        line |= {"top1": top1, "loss": loss}
        metrics += [line | {"selection": selection} for selection in SELECTIONS]
        columns = {
            "replicate": np.full(len(truth), replicate),
            "row": evaluation["row"].to_numpy(),
            "label": truth,
            "predicted": predicted,
            "probability": (1 / (1 + np.exp(-np.abs(logits)))).astype(np.float32),
        }
        predictions.append(
            {"selection": [np.full(len(truth), name) for name in SELECTIONS]}
            | {name: [values] * len(SELECTIONS) for name, values in columns.items()}
        )
    write_metrics(options.metrics, metrics)
    content = write_predictions(options.predictions, predictions)
    inputs = {
        name: digest(Path(path).read_bytes())
        for name, path in (("train_index", options.train_index), ("evaluation_index", options.evaluation_index))
    }
    inputs |= feature_digests(options.features, options.replicates, (view, EVALUATION))
    params = {"replicates": options.replicates, "views": options.views, "settings": options.settings}
    write_sidecar(options.predictions, content, params, inputs)
