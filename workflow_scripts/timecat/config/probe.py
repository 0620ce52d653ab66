"""The typed config of probes: the block `probe`."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.blocks import (
    Ascending,
    Block,
    Grid,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    settings_of,
)
from workflow_scripts.timecat.probing.protocol import Protocol


class Probe(Block):
    """The probe: batch norm and a linear layer on frozen, concatenated features. Defaults: the original protocol."""

    seed: Seed = Field(0, description="draws initial weights and the order of rows")
    epochs: PositiveInt = Field(28, description="passes; pass e reads view e mod features.views")
    batch_size: Annotated[int, Field(gt=1)] = Field(256, description="rows per step")
    lr: PositiveFloat = Field(0.01, description="learning rate of SGD with Nesterov momentum")
    momentum: Probability = Field(0.9, description="momentum")
    lr_milestones: Annotated[list[PositiveInt], Ascending] = Field(
        [8, 16, 24], description="epochs after which the learning rate drops, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of each drop")
    batch_norm: bool = Field(True, description="normalise features before the linear layer")
    init_std: NonNegativeFloat = Field(
        0.01, description="standard deviation of initial weights, also of `finetune` and `direct`"
    )
    weight_decays: Grid = Field(
        [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05], description="the grid; on the linear layer only"
    )

    def protocol(self, weight_decays: list[float] | None = None) -> Protocol:
        """What the stage is told. weight_decays: a data set's own grid, if it has one."""
        return settings_of(Protocol, self, weight_decays=weight_decays or self.weight_decays)
