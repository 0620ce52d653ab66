"""Which training rows are held out, as stages are told it. Without NumPy, for the config."""

from workflow_scripts.timecat.settings import settings


@settings
class Heldout:
    """The config's block ``heldout``. fraction: of the rows of each class."""

    seed: int
    fraction: float
