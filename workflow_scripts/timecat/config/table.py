"""The typed config of the size of figures: the block `table`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, PositiveFloat


class Table(Block):
    """Size of the figures of tables."""

    width_per_panel: PositiveFloat = Field(2.4, description="width of one panel of a figure, in inches")
    height: PositiveFloat = Field(2.6, description="height of one panel of a figure, in inches")
