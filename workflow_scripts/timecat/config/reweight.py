"""The typed config of deep feature reweighting (section 4.2): the block `reweight`."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.blocks import (
    Block,
    PositiveFloat,
    PositiveInt,
    Seed,
    Text,
    WithoutRepeats,
    settings_of,
)
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting


class Reweight(Block):
    """How arms with `transfer: reweight` train the last layer on balanced groups; by default as the original on validation rows.

    (On training rows it takes 10 resamples and tunes weights of the classes too, which is not done here.)
    """

    groups: Annotated[list[Text], Field(min_length=1), WithoutRepeats] = Field(
        ["place"], description="columns of the index that make the groups, together with the label"
    )
    c: Annotated[list[PositiveFloat], Field(min_length=1), WithoutRepeats] = Field(
        [1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01],
        description="inverse strengths of the L1 penalty; one is chosen by the worst group of half of the rows",
    )
    resamples: PositiveInt = Field(20, description="balanced draws whose last layers are averaged")
    seed: Seed = Field(0, description="draws the halves and the balanced rows")

    def settings(self) -> Reweighting:
        """What the stage is told."""
        return settings_of(Reweighting, self)
