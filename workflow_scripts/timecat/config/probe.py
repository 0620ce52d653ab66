"""The typed config of probes: the block `probe`."""

from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.timecat.config.blocks import (
    Ascending,
    Block,
    Grid,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    settings_of,
)
from workflow_scripts.timecat.probing.protocol import Protocol, Reduction, Regression

Solver = Literal["sgd", "lbfgs"]
Method = Literal["pca", "random"]


class Reduce(Block):
    """Fewer features between backbones and probe: columns standardised, then projected. The projection is fitted to the training
    rows without those held out, in the first view."""

    method: Method = Field(
        description="`pca`: principal components, an orthogonal basis whose signs are fixed; `random`: orthonormal random "
        "directions, drawn by the replicate's seeds"
    )
    dimensions: PositiveInt = Field(description="features that are left; at most as many as all members have together")

    def settings(self) -> Reduction:
        """What the stage is told."""
        return settings_of(Reduction, self)


class Probe(Block):
    """The probe: batch norm and a linear layer on frozen, concatenated features. Defaults: the paper's for CIFAR
    (docs/explanation/recipe.md).
    """

    solver: Solver = Field(
        "sgd",
        description="`sgd`: trained as in the original, for as many epochs; `lbfgs`: multinomial logistic regression to "
        "convergence, on standardised features of all views, to which only `batch_norm` and `weight_decays` apply. An arm may "
        "choose another one",
    )
    seed: Seed = Field(0, description="draws initial weights and the order of rows")
    epochs: PositiveInt = Field(28, description="passes; pass e reads view e mod features.views")
    batch_size: Annotated[int, Field(gt=1)] = Field(256, description="rows per step")
    lr: PositiveFloat = Field(0.01, description="learning rate of SGD with Nesterov momentum")
    momentum: Probability = Field(0.9, description="momentum")
    lr_milestones: Annotated[list[PositiveInt], Ascending] = Field(
        [8, 16, 24], description="epochs after which the learning rate drops, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of each drop")
    batch_norm: bool = Field(True, description="normalise features before the linear layer")
    init_std: NonNegativeFloat = Field(
        0.01, description="standard deviation of initial weights, also of `finetune` and `direct`"
    )
    weight_decays: Grid = Field(
        [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05],
        description="the grid; on the linear layer only. With `lbfgs` a penalty of half of it times the squared weights on "
        "the mean cross entropy, which is scikit-learn's C = 1 / (training rows x weight decay)",
    )

    def protocol(
        self, weight_decays: list[float] | None = None, solver: Solver | None = None, reduce: Reduce | None = None
    ) -> Protocol | Regression:
        """What the stage is told. weight_decays: a data set's own grid, if it has one; solver, reduce: an arm's own."""
        own = {
            "weight_decays": weight_decays or self.weight_decays,
            "reduce": None if reduce is None else reduce.settings(),
        }
        if (solver or self.solver) == "lbfgs":
            return settings_of(Regression, self, solver="lbfgs", **own)
        return settings_of(Protocol, self, **own)
