"""Settings of reweighting, as its stage gets them. The config imports this module, so it does not load NumPy."""

from workflow_scripts.timecat.settings import settings


@settings
class Reweighting:
    """Settings of reweighting: the config's block ``reweight``.

    groups: columns of the index that define the groups, together with the label. c: inverse strengths of the penalty.
    """

    groups: tuple[str, ...]
    c: tuple[float, ...]
    resamples: int
    seed: int
