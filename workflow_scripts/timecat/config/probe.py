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
    """Reduction of the features before the probe: columns are standardised and projected to fewer dimensions.
    The projection is fitted to the first view of the training rows without the held-out rows."""

    method: Method = Field(
        description="`pca`: principal components, as an orthonormal basis with fixed signs. `random`: orthonormal "
        "random directions, which depend on the seeds of the replicate"
    )
    dimensions: PositiveInt = Field(
        description="number of features after the reduction; at most the total number of features of all members"
    )

    def settings(self) -> Reduction:
        """Return the settings of the reduction that the stage `probe` gets."""
        return settings_of(Reduction, self)


class Probe(Block):
    """Training of a probe: batch norm and a linear layer on frozen, concatenated features.
    Defaults are the paper's for CIFAR (docs/explanation/recipe.md)."""

    solver: Solver = Field(
        "sgd",
        description="`sgd`: SGD for a fixed number of epochs, as in the original. `lbfgs`: multinomial logistic "
        "regression fitted to convergence, on standardised features of all views; it uses only the keys `batch_norm` "
        "and `weight_decays`. An arm can choose a different solver with its key `solver`",
    )
    seed: Seed = Field(0, description="seed of the initial weights and of the order of rows")
    epochs: PositiveInt = Field(
        28, description="number of epochs; epoch e (counted from 0) reads view e modulo the number of views"
    )
    batch_size: Annotated[int, Field(gt=1)] = Field(256, description="number of rows per step")
    lr: PositiveFloat = Field(0.01, description="initial learning rate of SGD with Nesterov momentum")
    momentum: Probability = Field(0.9, description="momentum of SGD")
    lr_milestones: Annotated[list[PositiveInt], Ascending] = Field(
        [8, 16, 24], description="epochs after which the learning rate is multiplied by lr_gamma, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of the learning rate at each of lr_milestones")
    batch_norm: bool = Field(True, description="whether to normalise features with batch norm before the linear layer")
    init_std: NonNegativeFloat = Field(
        0.01,
        description="standard deviation of the initial weights of the linear layer, also in `finetune` and `direct`",
    )
    weight_decays: Grid = Field(
        [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05],
        description="weight decays that are tried; they apply to the linear layer only. With `solver: lbfgs`, weight "
        "decay w adds w / 2 x the sum of squared weights to the mean cross-entropy, which corresponds to "
        "scikit-learn's C = 1 / (training rows x w)",
    )

    def protocol(
        self, weight_decays: list[float] | None = None, solver: Solver | None = None, reduce: Reduce | None = None
    ) -> Protocol | Regression:
        """Return the settings that the stage `probe` gets.

        weight_decays: value of the data set's key, or None. solver, reduce: values of the arm's keys, or None.
        """
        own = {
            "weight_decays": weight_decays or self.weight_decays,
            "reduce": None if reduce is None else reduce.settings(),
        }
        if (solver or self.solver) == "lbfgs":
            return settings_of(Regression, self, solver="lbfgs", **own)
        return settings_of(Protocol, self, **own)
