"""How calibration is measured, as the stage is told it. Without NumPy, for the config."""

from workflow_scripts.timecat.settings import settings


@settings
class CalibrationSettings:
    """The keys of the config's block ``calibration`` that change a number."""

    bins: int
    minimum_rows: int
    depth: int
    draws: int
