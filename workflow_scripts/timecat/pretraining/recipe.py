"""Define the settings of pretraining. This module imports neither NumPy nor torch: the config and plans read it."""

from typing import Literal

from workflow_scripts.timecat.backbones.start import Initialisation
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.settings import settings

Precision = Literal["float32", "bf16"]


@settings
class Recipe:
    """Settings of pretraining, from the config's block ``pretrain`` (docs/reference/configuration.md).

    Raise UserError if accumulation does not divide the batch size, or ghost_batch does not divide a part of a batch.
    """

    batch_size: int
    accumulation: int
    lr: float
    weight_decay: float
    betas: tuple[float, float]
    warmup_steps: int
    label_smoothing: float
    batch_norm_batches: int
    ghost_batch: int | None
    initialisation: Initialisation
    zero_gamma: bool
    precision: Precision
    channels_last: bool
    compile: bool

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulation:
            raise UserError(
                f"pretrain.accumulation {self.accumulation} does not divide batch_size {self.batch_size}; choose a divisor"
            )
        if self.ghost_batch and self.part % self.ghost_batch:
            raise UserError(
                f"pretrain.ghost_batch {self.ghost_batch} does not divide the {self.part} images of a forward "
                "pass (batch_size / accumulation); choose a divisor"
            )

    @property
    def part(self) -> int:
        """Number of images in one forward pass of training."""
        return self.batch_size // self.accumulation


@settings
class Beginning:
    """Settings of an untrained network: its initial weights and the batches for its batch-norm statistics.

    part: number of images in one forward pass.
    """

    batch_size: int
    part: int
    batch_norm_batches: int
    ghost_batch: int | None
    initialisation: Initialisation
    zero_gamma: bool
    channels_last: bool
