"""Original probing procedure in plain torch: the slow reference for features on disk, views and stacked heads.

For each weight decay and each epoch, batches of augmented images pass through the k frozen backbones, their features
are concatenated, and BatchNorm1d and Linear take one step of SGD per batch. Then the evaluation crops pass through the
same networks and are scored. The result is the best evaluation accuracy over all epochs and weight decays.
(The procedure of Yang, Zhang, Bottou 2025, arXiv 2506.18221, and of the linear benchmark of VISSL, in our own words.)

With one view per epoch, the same augmentation seed and the same protocol, a probe's `full` fit sees the same images
in the same batches and starts from the same weights. Then both results differ only by rounding: features stored in
float16, or float32 sums in a different order. With different augmentation seeds, the results are two random draws of
the same experiment.

The procedure passes k x weight decays x epochs x (rows + evaluation rows) images through a backbone. The pipeline
passes k x (views x rows + held-out rows + evaluation rows), whatever the grid of weight decays.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.images.ffcv.format import describe
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.views import Transform, normalise, view_key
from workflow_scripts.timecat.probing.heads import TOP, initial_weight


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of a data set as the original procedure reads them.

    train, evaluation: .beton files. workers: number of decoding threads.
    """

    name: str
    train: Path
    evaluation: Path
    transform: Transform
    augmentation_seed: int
    workers: int = 1


@dataclass(frozen=True)
class Result:
    """Metrics of all heads and epochs, with the best accuracy on the evaluation split.

    rows: dicts of weight_decay, epoch (from 1), split (train: the running average, or evaluation), loss (nats), top1
    and top5 (percent), as in a probe's metrics. weight_decay, epoch, top1: values of the row with the best evaluation
    accuracy.
    """

    rows: list[dict]
    weight_decay: float
    epoch: int
    top1: float


def original_procedure(backbones, images: Images, protocol, replicate: int = 0, device: str = "cpu") -> Result:
    """Train and score one head per weight decay, one after the other, and return all metrics.

    backbones: modules from float32 [b, 3, s, s] to [b, d], with ``dimension``, in evaluation mode and on the device.
    protocol: settings of the probe (protocol.Protocol). replicate: number that determines the initial weights, together
    with protocol.seed.
    """
    labels = [describe(path).labels for path in (images.train, images.evaluation)]
    classes = int(max(own.max() for own in labels)) + 1
    rows = []
    for weight_decay in protocol.weight_decays:
        head, optimizer, scheduler = _head(backbones, classes, protocol, weight_decay, replicate, device)
        for epoch in range(protocol.epochs):
            key = view_key(images.augmentation_seed, images.name, epoch)
            order = randomness.permutation(randomness.key("probe", protocol.seed, epoch), np.arange(len(labels[0])))
            train = _Average()
            head.train()
            for batch, truth in _whole_batches(images, images.train, order, protocol.batch_size, key):
                truth = truth.to(device)
                logits = head(_features(backbones, batch, images.transform, device))
                loss = F.cross_entropy(logits, truth)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                train.add(logits.detach(), truth)
            scheduler.step()
            evaluation = _Average()
            head.eval()
            with torch.no_grad():
                everything = np.arange(len(labels[1]))
                for batch, truth in _whole_batches(images, images.evaluation, everything, protocol.batch_size, None):
                    logits = head(_features(backbones, batch, images.transform, device))
                    evaluation.add(logits, truth.to(device))
            where = {"weight_decay": float(weight_decay), "epoch": epoch + 1}
            rows += [where | {"split": "train"} | train.means(), where | {"split": "evaluation"} | evaluation.means()]
    scored = [row for row in rows if row["split"] == "evaluation" and np.isfinite(row["loss"])]
    best = max(scored, key=lambda row: (row["top1"], -row["epoch"], row["weight_decay"]))
    return Result(rows, best["weight_decay"], best["epoch"], best["top1"])


def _head(backbones, classes: int, protocol, weight_decay: float, replicate: int, device: str):
    """Return BatchNorm1d and Linear, their SGD optimizer (no weight decay on batch norm) and its schedule."""
    dimension = sum(backbone.dimension for backbone in backbones)
    linear = nn.Linear(dimension, classes)
    key = randomness.key("head", protocol.seed, replicate)
    with torch.no_grad():
        linear.weight.copy_(initial_weight(key, classes, dimension, protocol.init_std))
        linear.bias.zero_()
    norm = nn.BatchNorm1d(dimension) if protocol.batch_norm else nn.Identity()
    head = nn.Sequential(norm, linear).to(device)
    groups = [{"params": linear.parameters()}]
    if protocol.batch_norm:
        groups.append({"params": norm.parameters(), "weight_decay": 0.0})
    options = {"momentum": protocol.momentum, "nesterov": protocol.momentum > 0}
    optimizer = torch.optim.SGD(groups, lr=protocol.lr, weight_decay=weight_decay, **options)
    milestones = list(protocol.lr_milestones)
    return head, optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, protocol.lr_gamma)


@torch.no_grad()
def _features(backbones, batch, transform: Transform, device: str) -> torch.Tensor:
    """Return the concatenated features of all backbones, float32 [b, D], of images uint8 [b, s, s, 3]."""
    pixels = normalise(batch.to(device), transform)
    return torch.cat([backbone(pixels).float() for backbone in backbones], 1)


def _whole_batches(images: Images, beton, rows, size: int, key: int | None):
    """Yield batches (images, labels); a last batch of one row is appended to the batch before.

    Batch norm cannot be trained on a single row.
    """
    held = None
    for _, batch, labels in batches(beton, rows, size, images.transform, key, images.workers):
        if held is not None and len(labels) == 1:
            held = tuple(map(torch.cat, zip(held, (batch, labels))))
            continue
        if held is not None:
            yield held
        held = batch, labels
    yield held


class _Average:
    """Running mean of loss and accuracies over the rows of several batches."""

    def __init__(self):
        self.rows, self.sums = 0, np.zeros(3)

    def add(self, logits, labels) -> None:
        best = logits.topk(min(TOP, logits.shape[1])).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self.sums += [loss.item(), best[:, 0].sum().item(), best.any(1).sum().item()]
        self.rows += len(labels)

    def means(self) -> dict[str, float]:
        loss, top1, top5 = (self.sums / self.rows).tolist()
        return {"loss": loss, "top1": 100 * top1, "top5": 100 * top5}
