"""Define the settings of a network's initial weights. This module does not import torch: the config reads it."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Initialisation = Literal["library", "lecun_normal"]


@settings
class Start:
    """Settings of the initial weights: keys of the config's block ``pretrain``."""

    initialisation: Initialisation
    zero_gamma: bool
