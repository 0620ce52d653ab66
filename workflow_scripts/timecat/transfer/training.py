"""Train k concatenated backbones, batch norm and a linear layer end to end on the images of a target.

This is a probe whose backbones are trained, too. The order of rows and batches is the same function of (seed, epoch) as
in a probe, and the initial weights are the same function of (seed, replicate). Epoch e (counted from 0) reads view e of
the data set under ``seed``. Every epoch therefore has new augmentations, and it reads the same images as a probe with
one view per epoch whose augmentation seed is ``seed``. With frozen backbones and the replicate's ``seed``, the results
equal the probe's, as a test checks. If an epoch has several passes (Settings.for_rows), the passes are numbered over
all epochs: pass p of epoch e reads the images that epoch e * passes + p would read with one pass per epoch.

A run is one (replicate, weight decay, fit). A step depends only on the run's state and the step, so on the CPU a run
that resumes from a saved state has the same bits as an uninterrupted run.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.backbones.backbone import Backbone
from workflow_scripts.timecat.images.ffcv.reader import Batch, batches
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import normalise, view_key
from workflow_scripts.timecat.probing.heads import TOP
from workflow_scripts.timecat.probing.scoring import DataSet, Report, Scores, gathered, report, row_scores, side_by_side
from workflow_scripts.timecat.transfer.network import Network, parameter_groups, start_network
from workflow_scripts.timecat.transfer.settings import OnRows, Settings

if TYPE_CHECKING:
    from workflow_scripts.timecat.runtime.progress import Progress
    from workflow_scripts.timecat.transfer.states import Kept

EVALUATION_BATCH = 500  # images


@dataclass(frozen=True, kw_only=True)
class Target:
    """Data set of a transfer, with the device and the number of decoding workers.

    train, evaluation: .beton files. data: labels and held-out rows from the index files.
    """

    name: str
    train: Path
    evaluation: Path
    data: DataSet
    transform: Transform
    device: str
    workers: int

    def of_replicate(self, number: int) -> "Target":
        """Return the target with the training rows of a replicate."""
        return replace(self, data=self.data.of_replicate(number))


@dataclass(frozen=True)
class Job:
    """Objects that all runs of one job share.

    block: name of the config's block that holds the settings. kept: files of the unfinished job. progress: counter of
    epochs.
    """

    block: str
    kept: "Kept"
    progress: "Progress"


@dataclass
class Run:
    """Training run of a transfer in progress.

    epoch: current epoch, counted from 0. rows: number of rows of this epoch (over all its passes) that are done. sums:
    sums of loss, top-1 hits and top-5 hits over these rows. scores: dict split -> Scores of each earlier epoch.
    """

    network: Network
    optimizer: torch.optim.SGD
    step: int = 0
    epoch: int = 0
    rows: int = 0
    sums: tuple[float, ...] = (0.0, 0.0, 0.0)
    scores: list[dict[str, Scores]] = field(default_factory=list)


def transfer_replicate(
    replicate: int,
    members: Sequence[int],
    make_backbones: Callable[[], Sequence[Backbone]],
    target: Target,
    settings: Settings,
    job: Job,
) -> Report:
    """Train one replicate with every weight decay and fit (DataSet.needed_fits), select heads, and return the report.

    replicate: number of the replicate, from 0. members: seeds of the replicate. make_backbones: function that returns
    new backbones of the members; it is called for each run. Raise UserError if every head diverges.
    """
    kept, progress, target = job.kept, job.progress, target.of_replicate(replicate)
    scores, own = {}, settings.for_rows(len(target.data.train_labels)).of_replicate(replicate)
    for fit in target.data.needed_fits(own.weight_decays):
        runs = []
        for weight_decay in own.weight_decays:
            name, done = f"replicate{replicate}.{fit}.weight_decay{weight_decay}", progress.done
            scores_of_run = kept.scores(name)
            if scores_of_run is None:
                run = start_run(make_backbones(), replicate, weight_decay, target, own)
                kept.restore(name, run)

                def offer(name: str = name, run: Run = run, done: int = done) -> None:
                    kept.offer(name, run)
                    progress.advance(done + run.epoch - progress.done)

                scores_of_run = finish_run(run, fit, target, own, offer)
                kept.add(name, scores_of_run)
            progress.advance(done + own.epochs - progress.done)
            runs.append(scores_of_run)
        scores[fit] = [
            {split: side_by_side([epoch[split] for epoch in epochs]) for split in epochs[0]} for epochs in zip(*runs)
        ]
    where = f"seeds {', '.join(map(str, members))}"
    return report(replicate, members, target.data, own.weight_decays, scores, where, job.block)


def start_run(
    backbones: Sequence[Backbone], replicate: int, weight_decay: float, target: Target, settings: OnRows
) -> Run:
    """Return a run at step 0, which trains the given backbones in place."""
    network = start_network(backbones, target.data.classes, replicate, settings).to(target.device)
    groups = parameter_groups(network, settings, weight_decay)
    nesterov = settings.momentum > 0  # torch refuses Nesterov without momentum, although it would have no effect
    return Run(network, torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov))


def finish_run(
    run: Run, fit: str, target: Target, settings: OnRows, offer: Callable[[], object] = lambda: None
) -> list[dict[str, Scores]]:
    """Train a run to its last epoch, and return the scores of its head in each epoch.

    The scores of an epoch are {"train": Scores, "evaluation" or "heldout": Scores}. offer: function that is called
    after every step and every epoch, when the run's state can be saved. A loss that is not finite ends the training:
    the scores of this epoch and all later epochs are NaN.
    """
    rows = target.data.fits()[fit]
    split, evaluation_rows = "evaluation" if fit == "full" else "heldout", len(target.data.evaluation_labels)
    while run.epoch < settings.epochs:
        for group in run.optimizer.param_groups:
            group["lr"] = group["first_lr"] * settings.drop(run.epoch)
        if not _train_epoch(run, rows, target, settings, offer):
            missing = settings.epochs - run.epoch
            run.scores += [{"train": _nothing(), split: _nothing(evaluation_rows if fit == "full" else None)}] * missing
            run.epoch = settings.epochs
            break
        loss, top1, top5 = (np.array([value / (len(rows) * settings.passes)]) for value in run.sums)
        score = evaluate(run.network, split, target)
        if fit == "nine_tenths":  # predictions are reported for the full fit only
            score = replace(score, predicted=None, probability=None)
        run.scores.append({"train": Scores(loss, 100 * top1, 100 * top5), split: score})
        run.epoch, run.rows, run.sums = run.epoch + 1, 0, (0.0, 0.0, 0.0)
        offer()
    return run.scores


def _train_epoch(
    run: Run, rows: npt.NDArray[np.int64], target: Target, settings: OnRows, offer: Callable[[], object]
) -> bool:
    """Train on the remaining rows of the run's current epoch. Return False if the loss is no longer finite."""
    run.network.train()
    first = settings.passes * run.epoch
    numbers = range(first + run.rows // len(rows), first + settings.passes)
    return all(_train_pass(run, number, rows, target, settings, offer) for number in numbers)


def _train_pass(
    run: Run, number: int, rows: npt.NDArray[np.int64], target: Target, settings: OnRows, offer: Callable[[], object]
) -> bool:
    """Train on the remaining rows of one pass. Return False if the loss is no longer finite.

    number: number of the pass, from 0 over all epochs.
    """
    order = randomness.permutation(randomness.key("probe", settings.seed, number), rows)[run.rows % len(rows) :]
    crop_key = view_key(settings.seed, target.name, number)
    stream = batches(
        target.train, target.data.in_file(order), settings.batch_size, target.transform, crop_key, target.workers
    )
    with closing(stream):
        for chosen, images in _lone_row_joined(stream):
            labels = torch.from_numpy(target.data.file_labels[chosen])
            # Random numbers of the network (dropout, stochastic depth) depend on seed and step alone.
            torch.manual_seed(randomness.key("transfer", "noise", settings.seed, run.step) % 2**63)
            sums = train_step(run, images, labels, target)
            if not math.isfinite(sums[0]):
                return False
            run.sums = tuple(before + added for before, added in zip(run.sums, sums))
            run.rows += len(chosen)
            run.step += 1
            offer()
    return True


def _lone_row_joined(stream: Iterable[Batch]) -> Iterator[tuple[npt.NDArray[np.int64], torch.Tensor]]:
    """Yield (rows, images) of the reader's batches. Join a last batch of a single row to the batch before it.

    Batch norm cannot train on a single row.
    """
    held = None
    for rows, images, _ in stream:
        if held is not None and len(rows) == 1:
            held = np.concatenate([held[0], rows]), torch.cat([held[1], images])
            continue
        if held is not None:
            yield held
        held = rows, images
    if held is not None:
        yield held


def train_step(run: Run, images: torch.Tensor, labels: torch.Tensor, target: Target) -> list[float]:
    """Take one SGD step on the mean cross entropy of a batch, and return sums over the batch before the step.

    The sums are the summed loss (nats), the number of rows whose label ranks first, and the number of rows whose label
    ranks among the first five (a tie counts as a miss). If the loss is not finite, no step is taken. images: uint8 [b,
    s, s, 3]. labels: int64 [b]. Both are on the host; b > 1.
    """
    labels = labels.to(target.device)
    logits = run.network(normalise(images.to(target.device), target.transform))
    loss = functional.cross_entropy(logits, labels)
    log_p = torch.log_softmax(logits.detach(), 1)
    log_p_label = log_p.gather(1, labels.unsqueeze(1))
    less_likely, classes = (log_p < log_p_label).sum(1), log_p.shape[1]
    top1, top5 = ((less_likely >= classes - first).sum() for first in (1, TOP))
    sums = torch.stack([-log_p_label.double().sum(), top1.double(), top5.double()]).tolist()
    if math.isfinite(sums[0]):
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
    return sums


def evaluate(network: Network, split: str, target: Target) -> Scores:
    """Return the scores of a network on the evaluation crops of the evaluation split or of the held-out rows.

    split: "evaluation" or "heldout".
    """
    data = target.data
    if split == "evaluation":
        beton, rows, labels = target.evaluation, np.arange(len(data.evaluation_labels)), data.evaluation_labels
    else:
        beton, rows, labels = target.train, data.in_file(data.heldout), data.file_labels
    network.eval()
    parts = []
    stream = batches(beton, rows, EVALUATION_BATCH, target.transform, None, target.workers)
    with torch.inference_mode(), closing(stream):
        for chosen, images, _ in stream:
            logits = network(normalise(images.to(target.device), target.transform))
            parts.append(row_scores(logits.unsqueeze(1), torch.from_numpy(labels[chosen]).to(target.device)))
    return gathered(parts)


def _nothing(rows: int | None = None) -> Scores:
    """Return NaN scores (and ``rows`` predictions) for an epoch that was not measured. They are never selected."""
    nan = np.array([math.nan])
    if rows is None:
        return Scores(nan, nan, nan)
    return Scores(nan, nan, nan, np.zeros((1, rows), np.int64), np.full((1, rows), math.nan, np.float32))
