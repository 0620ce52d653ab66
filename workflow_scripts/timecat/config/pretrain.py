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
    """The pretraining recipe: schedule-free AdamW (Defazio et al. 2024) on cross-entropy."""

    seeds: list[Seed] = Field(
        description="one pretraining run each: fixes initialisation, order and augmentation", min_length=1
    )
    milestones: list[PositiveInt] = Field(
        [], description="steps to keep checkpoints of, beside those that arms ask for"
    )
    batch_size: Annotated[int, Field(gt=1)] = Field(128, description="images per step")
    accumulation: PositiveInt = Field(
        1, description="parts that a batch passes through the network in, to save memory; must divide it"
    )
    lr: PositiveFloat = Field(0.01, description="learning rate after warm-up")
    weight_decay: NonNegativeFloat = Field(0.005, description="decoupled weight decay, on all parameters")
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        [0.9, 0.999], description="interpolation (not 0) and second-moment constants", min_length=2, max_length=2
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(20, description="steps of linear warm-up")
    label_smoothing: Probability = Field(0.1, description="label smoothing of the cross-entropy")
    batch_norm_batches: PositiveInt = Field(
        20, description="augmented training batches from which batch-norm statistics are recomputed"
    )
    ghost_batch: Annotated[int, Field(gt=1)] | None = Field(
        None,
        description="images whose statistics batch norm takes together in training (128 in the paper's recipe, the share "
        "of one of 8 GPUs; default: a part of the batch); must divide batch_size / accumulation",
    )
    initialisation: Initialisation = Field(
        "library", description="of convolutions: the architecture's own, or LeCun's truncated normal (AlgoPerf)"
    )
    zero_gamma: bool = Field(False, description="begin each residual branch of a ResNet at zero (its last batch norm)")
    precision: Precision = Field("float32", description="of training's forward passes; all else is float32")
    channels_last: bool = Field(False, description="memory format: faster on some devices, other last bits")
    compile: bool = Field(False, description="torch.compile in training (never in evaluation)")

    def recipe(self) -> Recipe:
        """What the stage is told."""
        return settings_of(Recipe, self)

    def beginning(self) -> Beginning:
        """What the stage is told that makes networks as they are initialised."""
        return settings_of(Beginning, self, part=self.recipe().part)

    def start(self) -> Start:
        """How networks begin: what a stage that trains without pretraining is told."""
        return settings_of(Start, self)

    @model_validator(mode="after")
    def _interpolates(self) -> Self:
        if self.betas[0] == 0:  # the average is reckoned back from a point between it and the iterate
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
                f"ghost_batch: {self.ghost_batch} does not divide the {part} images that pass at once "
                "(batch_size / accumulation); choose a divisor"
            )
        return self
