"""How the heads of a probe are trained, as the stage is told it. Without NumPy and torch, for the config."""

import json
from typing import Any, Literal

from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.settings import LEFT_OUT, settings


@settings
class Reduction:
    """How the features of a replicate are reduced before its probe (see reduction): to how many dimensions, and by what."""

    method: Literal["pca", "random"]
    dimensions: int


@settings
class Protocol:
    """How heads are trained by SGD: the config's block ``probe``, with the data set's own grid if it has one.

    batch_size: rows, at least 2. lr_milestones: after so many epochs the learning rate is multiplied by lr_gamma.
    """

    seed: int
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    lr_milestones: tuple[int, ...]
    lr_gamma: float
    batch_norm: bool
    init_std: float
    weight_decays: tuple[float, ...]
    reduce: Reduction | None = LEFT_OUT

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch counted from 0."""
        return self.lr * self.lr_gamma ** sum(milestone <= epoch for milestone in self.lr_milestones)

    @property
    def head_options(self) -> dict[str, Any]:
        """What the heads are told of it (the keyword arguments of heads.StackedHeads)."""
        return {"momentum": self.momentum, "batch_norm": self.batch_norm}


@settings
class Regression:
    """How heads are fitted until they have converged: the same block with ``solver: lbfgs``.

    batch_norm: standardise features; reduced ones are standardised before they are reduced, whatever it says. weight_decays:
    greater than 0, for without one there may be no minimum.
    """

    solver: Literal["lbfgs"]
    batch_norm: bool
    weight_decays: tuple[float, ...]
    reduce: Reduction | None = LEFT_OUT


def any_protocol(text: str) -> Protocol | Regression:
    """An argparse type: JSON of either. That of a Protocol has no key ``solver``."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError:
        given = None  # json_of says what is wrong
    is_regression = isinstance(given, dict) and "solver" in given
    return json_of(Regression)(text) if is_regression else json_of(Protocol)(text)
