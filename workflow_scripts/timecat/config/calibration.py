"""The typed config of the table of calibration, results/calibration.csv: the block `calibration`."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.arms import TableBlock
from workflow_scripts.timecat.config.blocks import Block, PositiveInt, WithoutRepeats, settings_of
from workflow_scripts.timecat.measures.calibration_settings import CalibrationSettings


class Calibration(Block):
    """Settings of results/calibration.csv, the calibration of probabilities over all rows and over groups of rows."""

    tables: Annotated[list[TableBlock], WithoutRepeats] | None = Field(
        None,
        description="tables whose arms are measured in addition to table 2, each on the table's targets (default: all "
        "tables of the study except `grid` and `width`; all of their arms are then computed for it)",
    )
    bins: PositiveInt = Field(
        15, description="number of bins of the expected calibration error; all bins have equally many rows"
    )
    minimum_rows: PositiveInt = Field(
        50, description="minimum number of rows of a group or an intersection of groups; smaller groups are ignored"
    )
    depth: Annotated[int, Field(ge=0)] = Field(
        2,
        description="maximum number of groups that are intersected (1: single groups only; 0: only all rows together)",
    )
    draws: PositiveInt = Field(
        100,
        description="number of times that labels are drawn from the predicted probabilities, to estimate the error "
        "that perfectly calibrated predictions would show",
    )

    def settings(self) -> CalibrationSettings:
        """Return the settings that the stage `calibration` gets."""
        return settings_of(CalibrationSettings, self)
