"""The typed config of the grid of members and steps: the block `grid`."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.arms import Seeds, Targets
from workflow_scripts.timecat.config.blocks import Ascending, Block, PositiveInt


class ArmGrid(Block):
    """Grid of probes, one for each number of members and each number of steps.
    A cell with the same settings as an arm of a table uses that arm."""

    members: Annotated[list[PositiveInt], Field(min_length=1), Ascending] = Field(
        [1, 2, 3, 4, 5], description="numbers of members in the grid, ascending"
    )
    steps: Annotated[list[PositiveInt], Field(min_length=1), Ascending] | None = Field(
        None,
        description="numbers of optimizer steps in the grid, ascending (default: all milestones of the study's "
        "backbone)",
    )
    seeds: Seeds | None = Field(
        None,
        description="seeds from which replicates are formed (default: `pretrain.seeds`, whose checkpoints exist "
        "already)",
    )
    replicates: PositiveInt | None = Field(
        None,
        description="maximum number of replicates of a cell; the first replicates are used (default: as many as the "
        "seeds allow). A cell that uses an arm of a table keeps all replicates of that arm",
    )
    targets: Targets | None = Field(
        None,
        description="data sets of the grid, with one panel of the figure for each (default: the `targets` of the "
        "study)",
    )


def grid_arm_name(members: int, steps: int) -> str:
    """Return the name of an arm that exists only in the grid."""
    return f"grid{members}x{steps}"
