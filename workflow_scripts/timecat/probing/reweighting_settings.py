"""How last layers are trained again on balanced groups, as the stage is told it. Without NumPy, for the config."""

from workflow_scripts.timecat.settings import settings


@settings
class Reweighting:
    """The config's block ``reweight``.

    groups: columns that make groups with the label. c: inverse strengths of the penalty.
    """

    groups: tuple[str, ...]
    c: tuple[float, ...]
    resamples: int
    seed: int
