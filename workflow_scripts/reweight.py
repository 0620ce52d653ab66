"""Reweight every replicate of one arm on one data set: the last layer trained again on balanced groups, on cached features.

Writes one Parquet of metrics (a row per replicate and selection; nothing is selected on the evaluation split, so both are
the same) and one of predictions, with a sidecar.
"""

from pathlib import Path

import numpy as np

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.probing.files import write_metrics, write_predictions
from workflow_scripts.timecat.probing.readers import read_index_table
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line, reweight, write."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument("--train-index", required=True, help="Parquet with columns row, label and those of the groups")
    parser.add_argument("--evaluation-index", required=True, help="Parquet with columns row and label")
    parser.add_argument("--views", type=json_of(list[str]), required=True, help="training views; the first is read")
    parser.add_argument("--settings", type=json_of(Reweighting), required=True, help="the block reweight")
    parser.add_argument("--metrics", required=True, help="Parquet of metrics")
    parser.add_argument("--predictions", required=True, help="Parquet of predictions")
    given = parser.parse_args()

    from workflow_scripts.timecat.features.files import EVALUATION, open_features
    from workflow_scripts.timecat.features.members import by_replicate, feature_digests
    from workflow_scripts.timecat.probing import reweighting
    from workflow_scripts.timecat.probing.groups import groups_of

    command.log_start_up()
    train, evaluation = read_index_table(given.train_index), read_index_table(given.evaluation_index)
    labels, groups = train["label"].to_numpy(), groups_of(train, given.settings.groups, given.train_index)
    truth, view = evaluation["label"].to_numpy(), f"train.{given.views[0]}.npy"
    metrics, predictions = [], []
    for replicate, (members, own) in enumerate(
        zip(given.replicates, by_replicate(given.features, given.replicates), strict=True)
    ):
        features, held = (
            np.hstack([open_features(Path(folder) / name, len(rows)) for folder in own])
            for name, rows in ((view, labels), (EVALUATION, truth))
        )
        layer = reweighting.fit_last_layer(features, labels, groups, given.settings)
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
    write_metrics(given.metrics, metrics, selection=True)
    content = write_predictions(given.predictions, predictions)
    inputs = {
        name: digest(Path(path).read_bytes())
        for name, path in (("train_index", given.train_index), ("evaluation_index", given.evaluation_index))
    }
    inputs |= feature_digests(given.features, given.replicates, (view, EVALUATION))
    params = {"replicates": given.replicates, "views": given.views, "settings": given.settings}
    write_sidecar(given.predictions, content, params, inputs)


if __name__ == "__main__":
    command.run(main)
