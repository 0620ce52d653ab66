"""The pretraining recipe, as the stage is told it. Without NumPy and torch, for the config and plans."""

from typing import Literal

from workflow_scripts.timecat.backbones.start import Initialisation
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.settings import settings

Precision = Literal["float32", "bf16"]


@settings
class Recipe:
    """How to pretrain: the keys of the config's block ``pretrain`` that reach the stage (config/README.md).

    UserError if accumulation does not divide the batch, or ghost_batch a part of it.
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
            raise UserError(f"pretrain.accumulation {self.accumulation} does not divide batch_size {self.batch_size}")
        if self.ghost_batch and self.part % self.ghost_batch:
            raise UserError(f"pretrain.ghost_batch {self.ghost_batch} does not divide the {self.part} images of a part")

    @property
    def part(self) -> int:
        """Images that pass through the network at once in training."""
        return self.batch_size // self.accumulation


@settings
class Beginning:
    """What of a recipe makes a network as it is initialised: its weights, and batches for batch-norm statistics.

    part: images that pass through the network at once.
    """

    batch_size: int
    part: int
    batch_norm_batches: int
    ghost_batch: int | None
    initialisation: Initialisation
    zero_gamma: bool
    channels_last: bool
