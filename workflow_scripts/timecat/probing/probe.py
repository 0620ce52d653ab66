"""Train the probe of one (data set, arm) by SGD: one head per weight decay, on frozen, concatenated features.

The protocol is the linear benchmark of VISSL as Yang, Zhang, Bottou (2025, arXiv 2506.18221) use it: BatchNorm1d and
Linear, W ~ N(0, 0.01²), Nesterov SGD, weight decay on the linear layer only, 28 epochs, step learning rate. Epoch e
(counted from 0) reads view e mod V, so 28 views give fresh augmentation in every epoch and one view is a fixed data
set.

There are two fits. `full` trains on all training rows and is evaluated on the evaluation split; `nine_tenths` trains on
the training rows that are not held out and is evaluated on the held-out rows. Both are trained side by side in one pass
over the features. The order of rows is a function of (probe seed, epoch), the initial weights of (probe seed,
replicate).
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.features.files import Tables, check_features
from workflow_scripts.timecat.features.memory import GATHERED_BATCHES, evaluation_chunk
from workflow_scripts.timecat.features.names import EVALUATION, HELDOUT, training_file
from workflow_scripts.timecat.features.reader import InMemory, Pieces, Table
from workflow_scripts.timecat.probing.heads import StackedHeads, StepSums, initial_weight
from workflow_scripts.timecat.probing.objective import heads_of, relative_gradients
from workflow_scripts.timecat.probing.projection import Projection
from workflow_scripts.timecat.probing.protocol import Protocol, Regression
from workflow_scripts.timecat.probing.reduction import check_dimensions, fitted
from workflow_scripts.timecat.probing.saved_heads import BestHead, SavedHead, saved_head
from workflow_scripts.timecat.probing.scoring import DataSet, Epochs, Report, Scores, gathered, report, row_scores
from workflow_scripts.timecat.probing.training_rows import TrainingRows
from workflow_scripts.timecat.runtime import command


@dataclass(frozen=True)
class Machine:
    """Device and memory for a probe.

    memory: bytes of features to keep in memory (see features.memory). It does not change the results.
    """

    device: str = "cpu"
    memory: float = math.inf


@dataclass(frozen=True)
class Probe(Report):
    """Results of one replicate: its report, its heads by selection, and the projection of its features, if any."""

    heads: dict[str, SavedHead]
    projection: Projection | None = None


def file_rows(data: DataSet, views: Sequence[str]) -> dict[str, int]:
    """Return the number of rows of each feature file that a probe reads in a member's folder, by the file's name.

    A file has the rows of all draws.
    """
    whole = data.whole or data
    files = {EVALUATION: len(whole.evaluation_labels), HELDOUT: len(whole.heldout)}
    return files | {training_file(view): len(whole.train_labels) for view in views}


def chosen_rows(data: DataSet, views: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the rows of a draw in each file of training features, int64, ascending; an empty dict without draws."""
    if data.whole is None:
        return {}
    held = np.searchsorted(data.whole.heldout, data.in_file(data.heldout))
    return {HELDOUT: held} | {training_file(view): data.in_file(np.arange(len(data.train_labels))) for view in views}


def batches(rows: int, size: int) -> list[slice]:
    """Return consecutive batches of ``size`` rows as slices.

    The last batch has the remaining rows. A single remaining row is added to the previous batch.
    """
    starts = list(range(0, rows, size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], rows])]


def train_epoch(
    heads: Mapping[str, StackedHeads],
    view: Table,
    order: npt.NDArray[np.int64],
    wanted: Mapping[str, npt.NDArray[np.bool_]],
    labels: npt.NDArray[np.int64],
    batch_size: int,
    lr: float,
) -> dict[str, Scores]:
    """Train each fit's heads for one epoch on a view; return, by fit, their scores averaged over the training batches.

    heads: StackedHeads by fit. view: a table of features.reader. order: int64, all rows that any fit trains on, read
    once for all fits. wanted: whether a fit trains on a row, bool [rows], by fit. labels: int64 [rows] of the view, on
    the host.
    """
    on_host = torch.from_numpy(labels)
    slices = {fit: batches(int(mine.sum()), batch_size) for fit, mine in wanted.items()}
    groups = {
        fit: [own[i : i + GATHERED_BATCHES] for i in range(0, len(own), GATHERED_BATCHES)]
        for fit, own in slices.items()
    }
    pieces = {fit: Pieces(group[-1].stop - group[0].start for group in own) for fit, own in groups.items()}
    steps: dict[str, list[StepSums]] = {fit: [] for fit in heads}
    with closing(view.windows(order)) as windows:
        for window in windows:
            for fit in heads:
                for x, rows in pieces[fit].of(window, wanted[fit]):
                    group = groups[fit].pop(0)
                    steps[fit] += _train_group(heads[fit], view, x, on_host.index_select(0, rows), group, lr)
    scores = {}
    for fit, own in steps.items():
        # The sum of [H, steps] is along contiguous memory (the steps), so the order of additions does not depend on H.
        sums = (torch.stack(values, 1).cpu().double().numpy().sum(1) for values in zip(*own))
        loss, top1, top5 = (value / slices[fit][-1].stop for value in sums)
        scores[fit] = Scores(loss, 100 * top1, 100 * top5)
    return scores


def _train_group(
    heads: StackedHeads, table: Table, features: torch.Tensor, labels: torch.Tensor, group: list[slice], lr: float
) -> list[StepSums]:
    """Take one step for each batch (a slice) of a group of consecutive batches.

    features: [rows of the group, D], in the table's data type.
    """
    x, y = table.widened(features, heads.W.device), labels.to(heads.W.device)
    starts = [slice(batch.start - group[0].start, batch.stop - group[0].start) for batch in group]
    return [heads.train_step(x[here], y[here], lr) for here in starts]


def evaluate(
    heads: StackedHeads,
    features: Table | np.ndarray,
    labels: npt.NDArray[np.int64],
    device: torch.device | str = "cpu",
) -> Scores:
    """Return the scores of heads on all rows of features: a table of features.reader or an array [rows, D].

    labels: int64 [rows].
    """
    N, chunk = len(labels), evaluation_chunk(heads.classes)
    pieces = Pieces(min(chunk, N - start) for start in range(0, N, chunk))
    on_host = torch.from_numpy(labels)
    table = InMemory(features) if isinstance(features, np.ndarray) else features
    parts = []
    with closing(table.windows(np.arange(N))) as windows:
        for window in windows:
            parts += [
                _score_chunk(heads, table, x, on_host.index_select(0, rows), device) for x, rows in pieces.of(window)
            ]
    return gathered(parts)


def _score_chunk(
    heads: StackedHeads, table: Table, features: torch.Tensor, labels: torch.Tensor, device: torch.device | str
) -> list[torch.Tensor]:
    """Return the row_scores of a piece.

    As a separate function, it frees its device memory before the next piece is read.
    """
    return row_scores(heads.logits(table.widened(features, device)), labels.to(device))


def probe_replicate(
    replicate: int,
    members: Sequence[int],
    folders: Sequence[PathLike],
    views: Sequence[str],
    data: DataSet,
    protocol: Protocol,
    machine: Machine = Machine(),
) -> Probe:
    """Probe one replicate: train all heads of both fits for all epochs, score them after each epoch, and select.

    replicate: number of the replicate, from 0, which decides its draw of training rows if there are several. members:
    seeds of the replicate's members. folders: feature folders of the members, in the same order.

    Raise UserError if features are missing or do not fit the index, or if every head diverges.
    """
    device, files, data = machine.device, file_rows(data, views), data.of_replicate(replicate)
    check_features(folders, files)
    rows = np.arange(len(data.train_labels))
    fits = {fit: np.isin(rows, own) for fit, own in data.fits().items()}  # whether a fit trains on a row
    whole = Tables(folders, files, machine.memory, chosen_rows(data, views))
    tables, projection = reduced_tables(whole, protocol, members, views, data, device)
    evaluated = {
        "full": ("evaluation", tables.read(EVALUATION), data.evaluation_labels),
        "nine_tenths": ("heldout", tables.read(HELDOUT), data.train_labels[data.heldout]),
    }
    key = randomness.key("head", protocol.seed, replicate)
    weight = initial_weight(key, data.classes, tables.dimension, protocol.init_std)
    options = protocol.head_options | {"device": device}
    heads = {fit: StackedHeads(weight, protocol.weight_decays, **options) for fit in fits}
    scores: dict[str, Epochs] = {fit: [] for fit in fits}
    best = BestHead()

    loaded: str | None = None
    view: Table | None = None
    for epoch in range(protocol.epochs):
        name = training_file(views[epoch % len(views)])
        if view is None or name != loaded:
            view = None  # free the old view before the new one is read: a view may fill most of the memory
            loaded, view = name, tables.read(name)
        order = randomness.permutation(randomness.key("probe", protocol.seed, epoch), rows)
        lr = protocol.learning_rate(epoch)
        trained = train_epoch(heads, view, order, fits, data.train_labels, protocol.batch_size, lr)
        for fit, (split, table, labels) in evaluated.items():
            score = evaluate(heads[fit], table, labels, device)
            if fit == "full":
                best.see(epoch + 1, score, heads[fit], protocol.weight_decays)
            else:  # only predictions of the fit `full` are reported, so these need not stay in memory
                score = replace(score, predicted=None, probability=None)
            scores[fit].append({"train": trained[fit], split: score})

    view = None
    where = f"features {', '.join(map(str, folders))}"
    found = report(replicate, members, data, protocol.weight_decays, scores, where, block="probe")
    paper, (decay, epoch, _) = best.of(found.selected["paper"]), found.selected["paper"]
    heads = {"full": heads["full"]}  # free the memory of the heads of `nine_tenths`
    del weight
    seen = TrainingRows(tables, views[: protocol.epochs], fits["full"], data, device)
    ends, decays = heads_of(heads["full"]), [*protocol.weight_decays, decay]
    *at_ends, at_best = relative_gradients([*ends, paper.on(device)], decays, seen, by_sgd=True)
    gradients = {(decay, epoch): float(at_best)}
    gradients |= {(own, protocol.epochs): float(each) for own, each in zip(protocol.weight_decays, at_ends)}
    metrics = with_gradients(found.metrics, gradients)
    last = saved_head(heads["full"], list(protocol.weight_decays).index(found.selected["holdout"].weight_decay))
    return Probe(**vars(found) | {"metrics": metrics}, heads={"paper": paper, "holdout": last}, projection=projection)


def reduced_tables(
    tables: Tables,
    protocol: Protocol | Regression,
    members: Sequence[int],
    views: Sequence[str],
    data: DataSet,
    device: torch.device | str,
) -> tuple[Tables, Projection | None]:
    """Return the features that a replicate's probe reads, reduced if ``reduce`` is set, and the projection or None.

    Raise UserError if ``reduce.dimensions`` is larger than the number of columns, or than the number of rows for
    ``pca``.
    """
    reduction = protocol.reduce
    if reduction is None:
        return tables, None
    fitted_to = np.isin(np.arange(len(data.train_labels)), data.fits()["nine_tenths"])
    check_dimensions(reduction, tables.dimension, int(fitted_to.sum()), f"seeds {', '.join(map(str, members))}")
    rows = TrainingRows(tables, views[:1], fitted_to, data, device)
    projection, share = fitted(reduction, rows, members)
    told = "" if share is None else f", with {100 * share:.1f} % of the variance"
    command.log(f"{reduction.method}: {reduction.dimensions} of {tables.dimension} dimensions{told}")
    return tables.reduced(projection), projection


def with_gradients(metrics: list[dict[str, Any]], gradients: Mapping[tuple[float, int], float]) -> list[dict[str, Any]]:
    """Return the rows of the metrics with a column ``relative_gradient`` (see objective).

    gradients: relative gradients of heads of the full fit, by (weight decay, epoch). They are added to the rows with
    scores of the full fit on training rows; all remaining rows get None.
    """
    return [
        row
        | {
            "relative_gradient": gradients.get((row["weight_decay"], row["epoch"]))
            if (row["fit"], row["split"]) == ("full", "train")
            else None
        }
        for row in metrics
    ]
