"""The typed config of transfers that train backbones: the blocks `finetune` and `direct`."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.blocks import (
    Ascending,
    Block,
    Grid,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    settings_of,
)
from workflow_scripts.timecat.transfer.settings import Settings


class Transfer(Block):
    """Arms with `transfer: finetune` or `direct`: backbones and linear layer trained together on the target."""

    seed: Seed = Field(
        0,
        description="draws the linear layer's initial weights, order and augmentation: seed + r those of replicate r, from 0",
    )
    epochs: PositiveInt = Field(28, description="passes, each with fresh augmentation")
    batch_size: Annotated[int, Field(gt=1)] = Field(
        256, description="images per step; all members take them at once, so memory grows with members"
    )
    lr: PositiveFloat = Field(0.01, description="learning rate of SGD with Nesterov momentum, for the linear layer")
    backbone_lr: PositiveFloat = Field(0.001, description="learning rate of the backbones")
    momentum: Probability = Field(0.9, description="momentum")
    lr_milestones: Annotated[list[PositiveInt], Ascending] = Field(
        [8, 16, 24], description="epochs after which the learning rates drop, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of each drop")
    least_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="at least so many steps: on data sets of few rows, an epoch is as many passes as that takes (so that "
        "arms on a small and on a large one are trained for as long)",
    )
    weight_decays: Grid = Field([0.0001], description="the grid; on all parameters but batch norm's")

    def settings(self, init_std: float) -> Settings:
        """What the stage is told. init_std: the probe's, with which the linear layer starts here too."""
        return settings_of(Settings, self, init_std=init_std)


class DirectTransfer(Transfer):
    """The same keys, for `transfer: direct`, whose backbones start from nothing."""

    backbone_lr: PositiveFloat = Field(0.01, description="learning rate of the backbones")
