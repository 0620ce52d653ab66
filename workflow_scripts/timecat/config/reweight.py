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
    """Training of arms with `transfer: reweight` (deep feature reweighting).
    The last layer is fitted to balanced groups. Defaults are the original values for validation rows.

    (On training rows, the original uses 10 resamples and also tunes class weights, which this project does not do.)
    """

    groups: Annotated[list[Text], Field(min_length=1), WithoutRepeats] = Field(
        ["place"], description="columns of the index that form the groups, together with the label"
    )
    c: Annotated[list[PositiveFloat], Field(min_length=1), WithoutRepeats] = Field(
        [1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01],
        description="inverse strengths of the L1 penalty that are tried; the value with the best worst-group accuracy "
        "on half of the rows is used",
    )
    resamples: PositiveInt = Field(
        20, description="number of balanced draws of the rows, whose last layers are averaged"
    )
    seed: Seed = Field(0, description="seed of the random halves and of the balanced draws")

    def settings(self) -> Reweighting:
        """Return the settings that the stage `reweight` gets."""
        return settings_of(Reweighting, self)
