"""Score heads and report the results of a replicate, for probes as well as for transfers that train backbones.

A head is one (replicate, weight decay). It is fitted twice: `full` trains on all training rows and is evaluated on the
evaluation split; `nine_tenths` trains without the held-out rows and is evaluated on these, to choose a weight decay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.heads import TOP
from workflow_scripts.timecat.probing.selection import SELECTIONS, Selected

if TYPE_CHECKING:
    from workflow_scripts.timecat.holdout import Draw


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Labels and row numbers of a data set, from its index: int64 arrays with one element per row."""

    train_labels: np.ndarray
    evaluation_labels: np.ndarray
    evaluation_rows: np.ndarray  # row numbers of the evaluation split, for the file of predictions
    heldout: np.ndarray  # training rows held out, ascending
    draws: "Sequence[Draw]" = ()  # draws of training rows, if replicates have different ones
    whole: "DataSet | None" = None  # for a draw: the data set with the rows of all draws, in the order of the files
    rows: np.ndarray | None = None  # for a draw: its training rows in the files, ascending

    def of_replicate(self, number: int) -> "DataSet":
        """Return the data set of a replicate: only the training rows of its draw, or all rows if there are no draws.

        number: number of the replicate, from 0. It determines the draw, so that arms are compared on the same rows.
        """
        if not self.draws:
            return self
        rows, heldout = self.draws[number % len(self.draws)]
        held, labels = np.searchsorted(rows, heldout), self.train_labels[rows]
        return replace(self, train_labels=labels, heldout=held, draws=(), whole=self, rows=rows)

    def in_file(self, rows: np.ndarray) -> np.ndarray:
        """Return the row numbers in the files, which hold all draws, of training rows of this draw.

        rows: an array of any training rows of this draw.
        """
        return rows if self.rows is None else self.rows[rows]

    @property
    def file_labels(self) -> np.ndarray:
        """Labels of all training rows in the files, which hold the rows of all draws."""
        return self.train_labels if self.whole is None else self.whole.train_labels

    @property
    def classes(self) -> int:
        """Number of classes in all draws together, C."""
        if self.whole is not None:
            return self.whole.classes
        return int(max(self.train_labels.max(), self.evaluation_labels.max())) + 1

    def fits(self) -> dict[str, np.ndarray]:
        """Return the training rows of each fit, int64, ascending. Raise UserError if they are too few for a probe."""
        rows = np.arange(len(self.train_labels))
        fits = {"full": rows, "nine_tenths": np.setdiff1d(rows, self.heldout)}
        if not len(self.heldout) or min(map(len, fits.values())) < 2:
            raise UserError(
                f"the training split has {len(rows)} rows, {len(self.heldout)} of them held out, which is too few: a "
                "probe needs at least one held-out row (a class with two or more rows) and two rows left to train on; "
                "add training images"
            )
        return fits

    def needed_fits(self, weight_decays: Sequence[float]) -> dict[str, np.ndarray]:
        """Return the fits that selection needs: `full` alone if there is a single weight decay.

        This is for transfers, where each fit trains whole networks.
        """
        return {name: rows for name, rows in self.fits().items() if name == "full" or len(weight_decays) > 1}


@dataclass(frozen=True)
class Scores:
    """Scores of H heads on a split: mean cross entropy (nats), top-1 and top-5 accuracy (percent), float64 [H].

    predicted, probability: per row, the predicted class (int64 [H, rows]) and its probability (float32 [H, rows]); None
    for the running average over training batches.
    """

    loss: np.ndarray
    top1: np.ndarray
    top5: np.ndarray
    predicted: np.ndarray | None = None
    probability: np.ndarray | None = None


Epochs = list[dict[str, Scores]]  # one element per epoch: scores by split


@dataclass(frozen=True)
class Report:
    """Results of one replicate.

    metrics, predictions: rows and columns as in the Parquet files. selected: head that each selection (`paper`,
    `holdout`) chose, by selection.
    """

    metrics: list[dict[str, Any]]
    predictions: dict[str, list[np.ndarray]]
    selected: dict[str, Selected]


def row_scores(logits: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    """Return loss, top-1, top-5, predicted class and its probability of each head and row: [H, rows] each, on the CPU.

    logits: [rows, H, C]; labels: int64 [rows], on the same device. The predicted class is the arg max (the first of
    equal ones). A label counts as in the top 5 unless five other classes are at least as likely.
    """
    classes = logits.shape[2]
    log_p = torch.log_softmax(logits.permute(1, 2, 0), 1)  # [H, C, rows], the layout in memory
    del logits  # free the logits, which take as much memory as log_p, unless the caller keeps them
    log_p_label = log_p.gather(1, labels.expand(len(log_p), 1, -1))
    best, predicted = log_p.max(1)
    top1 = predicted == labels
    top5 = (torch.lt(log_p, log_p_label, out=torch.empty_like(log_p)).sum(1) >= classes - TOP) | top1
    return [part.cpu() for part in (-log_p_label.squeeze(1), top1, top5, predicted, best.exp())]


def gathered(parts: Iterable[list[torch.Tensor]]) -> Scores:
    """Return the scores of a split from the row_scores of its pieces."""
    loss, top1, top5, predicted, probability = (torch.cat(part, 1).numpy() for part in zip(*parts))
    N = loss.shape[1]
    return Scores(
        loss.sum(1, dtype=np.float64) / N, 100 * top1.sum(1) / N, 100 * top5.sum(1) / N, predicted, probability
    )


def side_by_side(scores: Sequence[Scores]) -> Scores:
    """Concatenate the scores of several groups of heads on one split along the axis of heads."""
    columns = {name: [getattr(score, name) for score in scores] for name in vars(scores[0])}
    joined: dict[str, Any] = {
        name: None if column[0] is None else np.concatenate(column) for name, column in columns.items()
    }
    return Scores(**joined)


def report(
    replicate: int,
    members: Sequence[int],
    data: DataSet,
    weight_decays: Sequence[float],
    scores: Mapping[str, Epochs],
    where: str,
    block: str,
) -> Report:
    """Return the metrics, the predictions and the selected heads of a replicate.

    scores: fit -> per epoch {split: Scores}, heads in the order of ``weight_decays``. where: files that the
    replicate was computed from. block: name of the config's block with the training settings. Both are for the
    UserError that is raised if every head diverged.
    """
    metrics = _metrics(replicate, members, weight_decays, scores)
    columns = {name: [row[name] for row in metrics] for name in metrics[0]}
    try:
        selected = {name: select(columns, block) for name, select in SELECTIONS.items()}
    except UserError as error:
        raise UserError(f"replicate {replicate} ({where}): {error}") from None
    return Report(metrics, _predictions(replicate, data, weight_decays, scores["full"], selected), selected)


def _metrics(
    replicate: int, members: Sequence[int], weight_decays: Sequence[float], scores: Mapping[str, Epochs]
) -> list[dict[str, Any]]:
    """Return the rows of the metrics table, ordered by fit, weight decay, epoch and split."""
    return [
        {
            "replicate": replicate,
            "members": list(members),
            "weight_decay": float(weight_decay),
            "fit": fit,
            "epoch": epoch,
            "split": split,
            "top1": float(score.top1[head]),
            "top5": float(score.top5[head]),
            "loss": float(score.loss[head]),
        }
        for fit, epochs in scores.items()
        for head, weight_decay in enumerate(weight_decays)
        for epoch, splits in enumerate(epochs, 1)
        for split, score in splits.items()
    ]


def _predictions(
    replicate: int, data: DataSet, weight_decays: Sequence[float], epochs: Epochs, selected: Mapping[str, Selected]
) -> dict[str, list[np.ndarray]]:
    """Return the columns of the predictions table, each as one array per selection, from that selection's head."""
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("selection", "replicate", "row", "label", "predicted", "probability")
    }
    rows = len(data.evaluation_labels)
    for selection, (weight_decay, epoch, _) in selected.items():
        score, head = epochs[epoch - 1]["evaluation"], list(weight_decays).index(weight_decay)
        columns["selection"].append(np.full(rows, selection))
        columns["replicate"].append(np.full(rows, replicate, dtype=np.int64))
        columns["row"].append(data.evaluation_rows)
        columns["label"].append(data.evaluation_labels)
        if score.predicted is None or score.probability is None:
            raise ValueError("scores of the full fit on the evaluation split lack predictions")
        columns["predicted"].append(score.predicted[head])
        columns["probability"].append(score.probability[head])
    return columns
