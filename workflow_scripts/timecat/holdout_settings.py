"""Settings of the held-out training rows. This module does not import NumPy, so that the config can import it."""

from workflow_scripts.timecat.settings import settings


@settings
class Heldout:
    """Settings of the config's block ``heldout``: how the held-out training rows are chosen.

    seed: seed of the choice. fraction: fraction of each class's rows that is held out.
    """

    seed: int
    fraction: float
