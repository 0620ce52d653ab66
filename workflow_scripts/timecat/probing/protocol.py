"""Settings of a probe, as its stage gets them. The config imports this module, so it loads neither NumPy nor torch."""

import json
from typing import Any, Literal

from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.settings import LEFT_OUT, settings


@settings
class Reduction:
    """Settings of the reduction of a replicate's features before its probe (see reduction): method and dimensions."""

    method: Literal["pca", "random"]
    dimensions: int


@settings
class Protocol:
    """Settings of a probe that is trained by SGD: the config's block ``probe``.

    weight_decays: weight decays that the data set's block sets, if it sets any.
    batch_size: number of rows per batch, at least 2. lr_milestones: numbers of epochs after which the learning rate is
    multiplied by lr_gamma.
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
        """Return the learning rate of an epoch, counted from 0."""
        return self.lr * self.lr_gamma ** sum(milestone <= epoch for milestone in self.lr_milestones)

    @property
    def head_options(self) -> dict[str, Any]:
        """Settings that heads need, as keyword arguments of heads.StackedHeads."""
        return {"momentum": self.momentum, "batch_norm": self.batch_norm}


@settings
class Regression:
    """Settings of a probe that is fitted to convergence: the config's block ``probe`` with ``solver: lbfgs``.

    batch_norm: whether to standardise features; reduced features are always standardised before they are reduced.
    weight_decays: greater than 0, because without a weight decay there may be no minimum.
    """

    solver: Literal["lbfgs"]
    batch_norm: bool
    weight_decays: tuple[float, ...]
    reduce: Reduction | None = LEFT_OUT


def any_protocol(text: str) -> Protocol | Regression:
    """Parse JSON settings as an argparse type: a Regression if they have the key ``solver``, a Protocol otherwise."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError:
        given = None  # json_of raises the error
    is_regression = isinstance(given, dict) and "solver" in given
    return json_of(Regression)(text) if is_regression else json_of(Protocol)(text)
