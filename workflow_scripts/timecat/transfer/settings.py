"""How a transfer that trains backbones is trained. Without torch, for plans."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How networks are trained: the config's block ``finetune`` or ``direct`` (config/README.md)."""

    seed: int
    epochs: int
    batch_size: int
    lr: float
    backbone_lr: float
    momentum: float
    lr_milestones: tuple[int, ...]
    lr_gamma: float
    weight_decays: tuple[float, ...]
    least_steps: int = 0
    passes: int = 1  # over the rows in an epoch

    def for_rows(self, rows: int) -> "Settings":
        """For a data set of so many training rows: with as many passes an epoch as `least_steps` take."""
        once = replace(self, passes=1)
        return replace(self, passes=max(1, math.ceil(self.least_steps / once.steps(rows))))

    def steps(self, rows: int) -> int:
        """Of a network that is trained on so many rows. (A last batch of one row joins the one before it.)"""
        in_a_pass = math.ceil(rows / self.batch_size) - (rows > 1 and rows % self.batch_size == 1)
        return self.epochs * self.passes * in_a_pass

    def of_replicate(self, number: int) -> "Settings":
        """With draws of its own, so that replicates differ in order and augmentation as runs of pretraining do."""
        return replace(self, seed=self.seed + number)

    def drop(self, epoch: int) -> float:
        """What the learning rates are multiplied by in an epoch counted from 0."""
        return self.lr_gamma ** sum(milestone <= epoch for milestone in self.lr_milestones)
