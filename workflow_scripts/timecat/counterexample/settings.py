"""The settings of the counterexample, as the stage is told them. Without NumPy, for the config."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Kind = Literal["gates", "linear", "relu"]


@settings
class Settings:
    """The config's block ``counterexample``."""

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
