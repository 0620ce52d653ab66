"""How a transfer that trains backbones is trained, as the stage is told it. Without torch, for the config and plans."""

import math
from dataclasses import fields, replace

from workflow_scripts.timecat.settings import settings


@settings
class Settings:
    """How networks are trained: the config's block ``finetune`` or ``direct``, and ``probe.init_std``, the one key that
    transfers share with probes.

    What no key says is as in a probe: SGD has Nesterov momentum, and batch norm, with the same constants (probing.heads),
    stands before the linear layer, whatever ``probe.batch_norm`` says.
    """

    seed: int
    epochs: int
    batch_size: int
    lr: float
    backbone_lr: float
    momentum: float
    lr_milestones: tuple[int, ...]
    lr_gamma: float
    least_steps: int
    weight_decays: tuple[float, ...]
    init_std: float

    def for_rows(self, rows: int) -> "OnRows":
        """For a data set of so many training rows: with as many passes an epoch as `least_steps` take."""
        values = {field.name: getattr(self, field.name) for field in fields(Settings)}
        once = OnRows(**values, passes=1)
        return replace(once, passes=max(1, math.ceil(self.least_steps / once.steps(rows))))

    def drop(self, epoch: int) -> float:
        """What the learning rates are multiplied by in an epoch counted from 0."""
        return self.lr_gamma ** sum(milestone <= epoch for milestone in self.lr_milestones)


@settings
class OnRows(Settings):
    """Settings for the training rows of one data set. passes: over the rows in an epoch."""

    passes: int

    def steps(self, rows: int) -> int:
        """Steps of a network that is trained on so many rows. (A last batch of one row joins the one before it.)"""
        in_a_pass = math.ceil(rows / self.batch_size) - (rows > 1 and rows % self.batch_size == 1)
        return self.epochs * self.passes * in_a_pass

    def of_replicate(self, number: int) -> "OnRows":
        """With draws of its own, so that replicates differ in order and augmentation as runs of pretraining do."""
        return replace(self, seed=self.seed + number)
