"""Define the settings of a transfer that trains backbones.

This module does not import torch, because the config and plans read it.
"""

import math
from dataclasses import fields, replace

from workflow_scripts.timecat.settings import settings


@settings
class Settings:
    """Settings of a transfer: the config's block ``finetune`` or ``direct``, and ``probe.init_std``.

    ``init_std`` is the only key that transfers share with probes. Properties without a key are the same as in a probe:
    SGD uses Nesterov momentum, and batch norm with the same constants (probing.heads) precedes the linear layer, even
    if ``probe.batch_norm`` is false.
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
        """Return the settings for ``rows`` training rows, with enough passes per epoch to reach `least_steps`."""
        values = {field.name: getattr(self, field.name) for field in fields(Settings)}
        once = OnRows(**values, passes=1)
        return replace(once, passes=max(1, math.ceil(self.least_steps / once.steps(rows))))

    def drop(self, epoch: int) -> float:
        """Return the factor by which the learning rates are multiplied in an epoch (counted from 0)."""
        return self.lr_gamma ** sum(milestone <= epoch for milestone in self.lr_milestones)


@settings
class OnRows(Settings):
    """Settings of a transfer for the training rows of one data set.

    passes: number of passes over the rows per epoch.
    """

    passes: int

    def steps(self, rows: int) -> int:
        """Return the number of training steps on ``rows`` rows. (A last batch of one row joins the batch before it.)"""
        in_a_pass = math.ceil(rows / self.batch_size) - (rows > 1 and rows % self.batch_size == 1)
        return self.epochs * self.passes * in_a_pass

    def of_replicate(self, number: int) -> "OnRows":
        """Return the settings with the seed of a replicate, so that replicates differ in order and augmentation."""
        return replace(self, seed=self.seed + number)
