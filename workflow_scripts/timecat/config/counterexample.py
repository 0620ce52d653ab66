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
    """Two features, four points, four distributions: the best classifier of every mixture, and what networks keep."""

    grid: Annotated[int, Field(gt=0, le=16)] = Field(
        7,
        description="mixtures of the four distributions are taken in steps of 1 / grid (their number grows with its cube); those for "
        "which both features are equally good are left out (an odd grid has none)",
    )
    seeds: PositiveInt = Field(
        24, description="networks per mixture and setting, seeds 0, 1, ...: initial weights and order of rows"
    )
    members: PositiveInt = Field(
        4, description="networks whose features are concatenated for one more probe: disjoint groups of seeds"
    )
    networks: Annotated[list[Kind], Field(min_length=1), WithoutRepeats] = Field(
        ["gates", "linear", "relu"],
        description="hidden layers: each feature behind a learned gate (u1 x1, u2 x2); `width` linear units; `width` ReLUs",
    )
    width: PositiveInt = Field(8, description="hidden units of `linear` and `relu`")
    init_scale: PositiveFloat = Field(
        1.0, description="initial weights: normal, with this over the square root of a layer's inputs"
    )
    weight_decays: Grid = Field(
        [0.0, 0.01, 0.03, 0.1], description="the grid; of SGD, on weights and gates, not on biases"
    )
    lrs: Annotated[list[PositiveFloat], Field(min_length=1, max_length=4), WithoutRepeats] = Field(
        [0.1, 1.0], description="learning rates of SGD: small and large steps"
    )
    steps: PositiveInt = Field(4000, description="steps of SGD")
    batch_size: PositiveInt = Field(8, description="rows per step, of 4 x grid; probes take as many")
    threshold: Fraction = Field(
        0.03,
        description="a feature is kept whose singular value is at least this share of the greatest one (about where the "
        "probe begins to fail)",
    )
    probe_lr: PositiveFloat = Field(0.5, description="learning rate of the probe's SGD")
    probe_steps: PositiveInt = Field(1000, description="steps of the probe's SGD")

    def settings(self) -> Settings:
        """What the stage is told."""
        return settings_of(Settings, self)
