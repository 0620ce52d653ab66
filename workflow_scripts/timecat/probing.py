"""The probe of one (data set, arm): heads on frozen, concatenated features, all weight decays at once.

The protocol is the linear benchmark of VISSL as Yang, Zhang, Bottou (2025, arXiv 2506.18221) use it: BatchNorm1d and
Linear, W ~ N(0, 0.01²), Nesterov SGD, weight decay on the linear layer only, 28 epochs, step learning rate. Epoch e
(counted from 0) reads view e mod V, so 28 views are fresh augmentation in every epoch and one view is a fixed data set.

Two fits: `full` trains on all of train and is read on the evaluation split, `nine_tenths` on train without the held-out
rows and is read on those. Order and initial weights are functions of (probe seed, epoch) and (probe seed, replicate).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.artifacts import UserError
from workflow_scripts.timecat.heads import StackedHeads, initial_weight
from workflow_scripts.timecat.saved_heads import BestHead, SavedHead, saved_head
from workflow_scripts.timecat.scoring import DataSet, Report, Scores, gathered, report, row_scores

EVALUATION, HELDOUT = "evaluation.center.npy", "heldout.center.npy"

# Rows are gathered and widened to float32 for this many batches at a time: enough to make the calls cheap, little
# enough (168 MB at dimension 10240) never to hold a view twice.
_GATHERED_BATCHES = 16


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How heads are trained. lr_milestones: after so many epochs the learning rate is multiplied by lr_gamma."""

    seed: int
    weight_decays: tuple[float, ...]
    epochs: int = 28
    batch_size: int = 256  # rows; at least 2
    lr: float = 0.01
    momentum: float = 0.9
    lr_milestones: tuple[int, ...] = (8, 16, 24)
    lr_gamma: float = 0.1
    batch_norm: bool = True
    init_std: float = 0.01

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch counted from 0."""
        return self.lr * self.lr_gamma ** sum(milestone <= epoch for milestone in self.lr_milestones)


@dataclass(frozen=True)
class Probe(Report):
    """The results of one replicate, and its selected heads by selection."""

    heads: dict[str, SavedHead]


def training_file(view: str) -> str:
    """Name of the file of a view's training features."""
    return f"train.{view}.npy"


def file_rows(data: DataSet, views) -> dict[str, int]:
    """The feature files that a probe reads from each member's folder -> the rows each must have."""
    files = {EVALUATION: len(data.evaluation_labels), HELDOUT: len(data.heldout)}
    return files | {training_file(view): len(data.train_labels) for view in views}


def open_features(path, rows: int) -> np.ndarray:
    """A feature file [rows, dim], mapped, not read. UserError when it is missing, damaged or of other rows."""
    path = Path(path)
    try:
        features = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise UserError(f"the features {path} are missing; run extract_features for them") from None
    except (ValueError, EOFError):
        raise UserError(f"the features {path} are not a whole .npy file; delete them and extract again") from None
    if features.ndim != 2 or len(features) != rows:
        shape = " x ".join(map(str, features.shape))
        raise UserError(
            f"the features {path} are {shape}, but the data set's index asks for {rows} rows;"
            " delete them and extract again from the data set as it is now"
        )
    return features


def check_features(folders, files: dict[str, int]) -> None:
    """Raise a UserError for any missing or mismatched file of any member, before time is spent on training."""
    for folder in folders:
        widths = {name: open_features(Path(folder) / name, rows).shape[1] for name, rows in files.items()}
        for name, width in widths.items():
            if width != widths[EVALUATION]:
                raise UserError(
                    f"the features {Path(folder) / name} have dimension {width}, {EVALUATION} beside them"
                    f" {widths[EVALUATION]}: they are of different checkpoints; delete the folder and extract again"
                )


def read_features(folders, name: str, rows: int) -> np.ndarray:
    """The members' features side by side, in memory: [rows, sum of dims], in member order, as stored (float16)."""
    return np.asarray(np.concatenate([open_features(Path(folder) / name, rows) for folder in folders], axis=1))


def batches(rows: int, size: int) -> list[slice]:
    """Consecutive batches of ``size`` rows; the last takes what is left, and a single row left joins the one before."""
    starts = list(range(0, rows, size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], rows])]


def train_epoch(heads, features, labels, order, batch_size: int, lr: float, device="cpu") -> Scores:
    """Train on all rows of ``order`` (int64), once; returns the running average of the training batches.

    features: [rows, D] and labels: int64 [rows] of the whole view, on the host.
    """
    features, labels, order = torch.from_numpy(features), torch.from_numpy(labels), torch.from_numpy(order)
    steps = []
    slices = batches(len(order), batch_size)
    for i in range(0, len(slices), _GATHERED_BATCHES):
        group = slices[i : i + _GATHERED_BATCHES]
        first = group[0].start
        rows = order[first : group[-1].stop]
        x = features.index_select(0, rows).to(device).float()
        y = labels.index_select(0, rows).to(device)
        for batch in group:
            here = slice(batch.start - first, batch.stop - first)
            steps.append(heads.train_step(x[here], y[here], lr))
    # [H, steps], and the sum along the contiguous steps: the order of its additions does not depend on H.
    loss, top1, top5 = (torch.stack(values, 1).cpu().double().numpy().sum(1) / len(order) for values in zip(*steps))
    return Scores(loss, 100 * top1, 100 * top5)


def evaluate(heads, features, labels, device="cpu") -> Scores:
    """Scores of heads on all rows: features [rows, D], labels int64 [rows], on the host."""
    chunk = max(64, min(1024, 2**22 // heads.classes))  # bounded memory, and not a function of the number of heads
    features, labels = torch.from_numpy(features), torch.from_numpy(labels)
    parts = []
    for start in range(0, len(labels), chunk):
        x = features[start : start + chunk].to(device).float()
        y = labels[start : start + chunk].to(device)
        parts.append(row_scores(heads.logits(x), y))
    return gathered(parts)


def probe_replicate(replicate: int, members, folders, views, data: DataSet, protocol: Protocol, device="cpu") -> Probe:
    """Probe one replicate: train all heads of both fits for all epochs, score them each epoch, select.

    replicate: its number, from 0. members: its seeds. folders: its members' feature folders, in the same order.
    UserError when features are missing or do not fit the index, or when every head diverges.
    """
    files = file_rows(data, views)
    check_features(folders, files)
    fits = data.fits()
    evaluated = {
        "full": ("evaluation", read_features(folders, EVALUATION, files[EVALUATION]), data.evaluation_labels),
        "nine_tenths": ("heldout", read_features(folders, HELDOUT, files[HELDOUT]), data.train_labels[data.heldout]),
    }
    key = randomness.key("head", protocol.seed, replicate)
    weight = initial_weight(key, data.classes, evaluated["full"][1].shape[1], protocol.init_std)
    options = {"momentum": protocol.momentum, "batch_norm": protocol.batch_norm, "device": device}
    heads = {fit: StackedHeads(weight, protocol.weight_decays, **options) for fit in fits}
    scores = {fit: [] for fit in fits}  # fit -> per epoch {split: Scores}
    best = BestHead()

    loaded, view = None, None
    for epoch in range(protocol.epochs):
        name = training_file(views[epoch % len(views)])
        if name != loaded:
            view = None  # let go of the old view before the new one is read: a view may fill most of the memory
            loaded, view = name, read_features(folders, name, files[name])
        for fit, (split, features, labels) in evaluated.items():
            order = randomness.permutation(randomness.key("probe", protocol.seed, epoch), fits[fit])
            lr = protocol.learning_rate(epoch)
            train = train_epoch(heads[fit], view, data.train_labels, order, protocol.batch_size, lr, device)
            score = evaluate(heads[fit], features, labels, device)
            if fit == "full":
                best.see(epoch + 1, score, heads[fit], protocol.weight_decays)
            else:  # only what the full fit predicts is reported: do not keep the rest in memory
                score = replace(score, predicted=None, probability=None)
            scores[fit].append({"train": train, split: score})

    where = f"features {', '.join(map(str, folders))}"
    found = report(replicate, members, data, protocol.weight_decays, scores, where, block="probe")
    last = saved_head(heads["full"], list(protocol.weight_decays).index(found.selected["holdout"].weight_decay))
    return Probe(**vars(found), heads={"paper": best.of(found.selected["paper"]), "holdout": last})
