"""The typed config of pretraining: the block `pretrain`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.backbones.start import Initialisation, Start
from workflow_scripts.timecat.config.blocks import (
    Block,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    settings_of,
)
from workflow_scripts.timecat.pretraining.recipe import Beginning, Precision, Recipe

NOT_OF_THE_RECIPE = ("seeds", "milestones")


class Pretrain(Block):
    """Pretraining recipe: schedule-free AdamW (Defazio et al. 2024) on the cross-entropy."""

    seeds: list[Seed] = Field(
        description="seeds of pretraining; there is one run per seed, which determines the initial weights, the order "
        "of images and their augmentation",
        min_length=1,
    )
    milestones: list[PositiveInt] = Field(
        [], description="steps at which checkpoints are kept in addition to the `steps` of arms"
    )
    batch_size: Annotated[int, Field(gt=1)] = Field(128, description="number of images per optimizer step")
    accumulation: PositiveInt = Field(
        1,
        description="number of parts into which a batch is split to save memory (gradient accumulation); must divide "
        "batch_size",
    )
    lr: PositiveFloat = Field(0.01, description="learning rate after warm-up")
    weight_decay: NonNegativeFloat = Field(0.005, description="decoupled weight decay, on all parameters")
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        [0.9, 0.999],
        description="constants of the optimizer: interpolation (must not be 0) and second moment",
        min_length=2,
        max_length=2,
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(20, description="number of steps of linear learning-rate warm-up")
    label_smoothing: Probability = Field(0.1, description="label smoothing of the cross-entropy (0: none)")
    batch_norm_batches: PositiveInt = Field(
        20, description="number of augmented training batches from which batch-norm statistics are recomputed"
    )
    ghost_batch: Annotated[int, Field(gt=1)] | None = Field(
        None,
        description="number of images over which batch norm computes statistics in training; must divide batch_size / "
        "accumulation (128 in the paper's recipe, the share of one of 8 GPUs; default: batch_size / accumulation)",
    )
    initialisation: Initialisation = Field(
        "library",
        description="initial weights of convolutions: `library` (the library's initialisation for the architecture) or "
        "`lecun_normal` (LeCun's truncated normal, as in AlgoPerf)",
    )
    zero_gamma: bool = Field(
        False,
        description="whether the scale of the last batch norm of each residual branch of a ResNet starts at zero",
    )
    precision: Precision = Field(
        "float32",
        description="number format of forward passes in training: `float32` or `bf16`; everything else is float32",
    )
    channels_last: bool = Field(
        False,
        description="whether to use the channels-last memory format, which is faster on some devices and changes the "
        "last bits of results",
    )
    compile: bool = Field(
        False, description="whether to use torch.compile in training (it is never used in evaluation)"
    )

    def recipe(self) -> Recipe:
        """Return the settings that the stage `pretrain` gets."""
        return settings_of(Recipe, self)

    def beginning(self) -> Beginning:
        """Return the settings that the stage `initialise` gets, which makes untrained networks."""
        return settings_of(Beginning, self, part=self.recipe().part)

    def start(self) -> Start:
        """Return the settings of initial weights, for a stage that trains without pretraining."""
        return settings_of(Start, self)

    @model_validator(mode="after")
    def _interpolates(self) -> Self:
        if self.betas[0] == 0:  # the optimizer computes the average from an interpolated point
            raise ValueError("betas: the first number must be greater than 0; 0.9 is usual")
        return self

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"accumulation: {self.accumulation} does not divide batch_size {self.batch_size}; choose a divisor"
            )
        part = self.batch_size // self.accumulation
        if self.ghost_batch is not None and part % self.ghost_batch:
            raise ValueError(
                f"ghost_batch: {self.ghost_batch} does not divide the {part} images of one pass (batch_size / "
                "accumulation); choose a divisor"
            )
        return self
