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
    """Training of arms with `transfer: finetune`.
    Pretrained backbones and a linear layer are trained together on the target."""

    seed: Seed = Field(
        0,
        description="seed of the linear layer's initial weights, the order of images and their augmentation; "
        "replicate r (counted from 0) uses seed + r",
    )
    epochs: PositiveInt = Field(28, description="number of epochs, each with new random augmentation")
    batch_size: Annotated[int, Field(gt=1)] = Field(
        256,
        description="number of images per step; each image passes through all members, so memory grows with the number "
        "of members",
    )
    lr: PositiveFloat = Field(
        0.01, description="initial learning rate of the linear layer, for SGD with Nesterov momentum"
    )
    backbone_lr: PositiveFloat = Field(0.001, description="initial learning rate of the backbones")
    momentum: Probability = Field(0.9, description="momentum of SGD")
    lr_milestones: Annotated[list[PositiveInt], Ascending] = Field(
        [8, 16, 24], description="epochs after which the learning rates are multiplied by lr_gamma, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of the learning rates at each of lr_milestones")
    least_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="minimum number of optimizer steps of a training run. On a small data set, an epoch then consists "
        "of several passes over the rows, so that arms on small and large data sets are trained for equally long (0: "
        "an epoch is one pass)",
    )
    weight_decays: Grid = Field(
        [0.0001], description="weight decays that are tried; they apply to all parameters except batch norm's"
    )

    def settings(self, init_std: float) -> Settings:
        """Return the settings that the stage `transfer` gets.

        init_std: standard deviation of the linear layer's initial weights, the same as in a probe.
        """
        return settings_of(Settings, self, init_std=init_std)


class DirectTransfer(Transfer):
    """Training of arms with `transfer: direct`, whose backbones start from random initial weights.
    The keys are the same as in `finetune`, but `backbone_lr` has a different default."""

    backbone_lr: PositiveFloat = Field(0.01, description="initial learning rate of the backbones")
