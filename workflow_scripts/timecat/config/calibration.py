"""The typed config of results/calibration.csv."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.arms import TableBlock
from workflow_scripts.timecat.config.blocks import Block, PositiveInt, WithoutRepeats, settings_of
from workflow_scripts.timecat.measures.calibration_settings import CalibrationSettings


class Calibration(Block):
    """How well probabilities are calibrated, over all rows and over groups of them (results/calibration.csv)."""

    tables: Annotated[list[TableBlock], WithoutRepeats] | None = Field(
        None,
        description="tables beside table 2 whose arms are measured too, each on its own targets (default: all that the study "
        "has, so that all of their arms are made for it; the grid is left out)",
    )
    bins: PositiveInt = Field(15, description="bins of the expected calibration error, of equally many rows each")
    minimum_rows: PositiveInt = Field(50, description="groups and intersections of groups with fewer rows do not count")
    depth: Annotated[int, Field(ge=0)] = Field(
        2, description="how many groups are intersected at most (1: groups alone, 0: all rows alone)"
    )
    draws: PositiveInt = Field(
        100, description="drawings of labels from the probabilities, which say what perfect calibration would show"
    )

    def settings(self) -> CalibrationSettings:
        """What the stage is told."""
        return settings_of(CalibrationSettings, self)
