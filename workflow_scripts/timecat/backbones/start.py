"""Define the settings of a network's initial weights. This module imports no torch, because the config reads it."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Initialisation = Literal["library", "lecun_normal"]


@settings
class Start:
    """Keys of the config's block ``pretrain`` that set the initial weights."""

    initialisation: Initialisation
    zero_gamma: bool
