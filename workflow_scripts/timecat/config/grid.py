"""The typed config of the grid of members and steps: the block `grid`."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.arms import Seeds, Targets
from workflow_scripts.timecat.config.blocks import Ascending, Block, PositiveInt


class ArmGrid(Block):
    """Every number of members at every number of steps, probed; arms of tables are used where they are the same."""

    members: Annotated[list[PositiveInt], Field(min_length=1), Ascending] = Field(
        [1, 2, 3, 4, 5], description="numbers of members, ascending"
    )
    steps: Annotated[list[PositiveInt], Field(min_length=1), Ascending] | None = Field(
        None, description="numbers of steps, ascending (default: all milestones of the study's backbone)"
    )
    seeds: Seeds | None = Field(
        None, description="seeds that replicates are made of (default: pretrain.seeds, so that checkpoints exist)"
    )
    replicates: PositiveInt | None = Field(
        None,
        description="at most so many replicates of a cell, the first ones (default: as many as the seeds give; an arm of a table "
        "that stands for a cell keeps its own)",
    )
    targets: Targets | None = Field(None, description="its data sets, a panel for each (default: the study's targets)")


def grid_arm_name(members: int, steps: int) -> str:
    """What an arm of the grid is called if no table has it."""
    return f"grid{members}x{steps}"
