"""Settings of the counterexample, as its stage gets them. The config imports this module, so it does not load NumPy."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Kind = Literal["gates", "linear", "relu"]


@settings
class Settings:
    """Settings of the counterexample: the config's block ``counterexample``."""

    grid: int
    seeds: int
    members: int
    networks: tuple[Kind, ...]
    width: int
    init_scale: float
    weight_decays: tuple[float, ...]
    lrs: tuple[float, ...]
    steps: int
    batch_size: int
    threshold: float
    probe_lr: float
    probe_steps: int
