"""The typed config of the held-out rows: the block `heldout`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, Fraction, Seed, settings_of
from workflow_scripts.timecat.holdout_settings import Heldout as HeldoutSettings


class Heldout(Block):
    """The training rows that selection `holdout` sets aside, class-stratified."""

    seed: Seed = Field(0, description="draws the rows")
    fraction: Fraction = Field(0.1, description="share of each class")

    def settings(self) -> HeldoutSettings:
        """What stages are told."""
        return settings_of(HeldoutSettings, self)
