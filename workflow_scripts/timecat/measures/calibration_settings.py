"""Settings of calibration, as its stage gets them. The config imports this module, so it does not load NumPy."""

from workflow_scripts.timecat.settings import settings


@settings
class CalibrationSettings:
    """Settings of calibration that change a number: keys of the config's block ``calibration``."""

    bins: int
    minimum_rows: int
    depth: int
    draws: int
