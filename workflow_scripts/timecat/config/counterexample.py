"""The typed config of the counterexample (section 3 of the paper)."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.blocks import (
    Block,
    Fraction,
    Grid,
    PositiveFloat,
    PositiveInt,
    WithoutRepeats,
    settings_of,
)
from workflow_scripts.timecat.counterexample.settings import Kind, Settings


class Counterexample(Block):
    """The counterexample of section 3 of the paper: mixtures of four distributions over four points with two features.
    For each mixture the best classifier is computed, and small networks are trained to see which features they keep."""

    grid: Annotated[int, Field(gt=0, le=16)] = Field(
        7,
        description="number of steps from 0 to 1 for the shares of the four distributions in a mixture: shares are "
        "multiples of 1 / grid. The number of mixtures grows with the cube of grid. Mixtures for which both features "
        "are equally good are left out (with an odd grid there are no such mixtures)",
    )
    seeds: PositiveInt = Field(
        24,
        description="number of networks per mixture and setting; their seeds 0, 1, ... determine the initial weights "
        "and the order of rows",
    )
    members: PositiveInt = Field(
        4,
        description="number of networks whose features are concatenated for a further probe; the networks of different "
        "concatenations have different seeds",
    )
    networks: Annotated[list[Kind], Field(min_length=1), WithoutRepeats] = Field(
        ["gates", "linear", "relu"],
        description="hidden layers of the networks. `gates`: each feature is multiplied by a learned gate (u1 x1, u2 "
        "x2); `linear`: `width` linear units; `relu`: `width` ReLUs",
    )
    width: PositiveInt = Field(8, description="number of hidden units of `linear` and `relu`")
    init_scale: PositiveFloat = Field(
        1.0,
        description="scale of the initial weights, which are normal with standard deviation init_scale / sqrt(number "
        "of inputs of the layer)",
    )
    weight_decays: Grid = Field(
        [0.0, 0.01, 0.03, 0.1],
        description="weight decays of SGD that are tried; they apply to weights and gates, not to biases",
    )
    lrs: Annotated[list[PositiveFloat], Field(min_length=1, max_length=4), WithoutRepeats] = Field(
        [0.1, 1.0], description="learning rates of SGD that are tried"
    )
    steps: PositiveInt = Field(4000, description="number of steps of SGD")
    batch_size: PositiveInt = Field(8, description="rows per step (a data set has 4 x grid rows), also for probes")
    threshold: Fraction = Field(
        0.03,
        description="a feature counts as kept if its singular value is at least this share of the largest singular "
        "value (near the default value, probes begin to fail)",
    )
    probe_lr: PositiveFloat = Field(0.5, description="learning rate of the probe's SGD")
    probe_steps: PositiveInt = Field(1000, description="number of steps of the probe's SGD")

    def settings(self) -> Settings:
        """Return the settings that the stage `counterexample` gets."""
        return settings_of(Settings, self)
