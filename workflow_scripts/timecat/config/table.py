"""The typed config of how the table looks: the block `table`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, PositiveFloat


class Table(Block):
    """How the table and its figure look."""

    width_per_panel: PositiveFloat = Field(2.4, description="inches")
    height: PositiveFloat = Field(2.6, description="inches")
