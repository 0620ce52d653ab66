"""How a network's weights begin, as stages are told it. Without torch, for the config."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Initialisation = Literal["library", "lecun_normal"]


@settings
class Start:
    """The keys of the config's block ``pretrain`` that say how training begins."""

    initialisation: Initialisation
    zero_gamma: bool
