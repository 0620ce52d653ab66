"""The typed config of held-out training rows: the block `heldout`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, Fraction, Seed, settings_of
from workflow_scripts.timecat.holdout_settings import Heldout as HeldoutSettings


class Heldout(Block):
    """Training rows that the selection `holdout` sets aside to choose the weight decay, stratified by class."""

    seed: Seed = Field(0, description="seed of the random choice of held-out rows")
    fraction: Fraction = Field(0.1, description="share of the training rows of each class that is held out")

    def settings(self) -> HeldoutSettings:
        """Return the settings of held-out rows that stages get."""
        return settings_of(HeldoutSettings, self)
