"""The typed config of stages: pretraining, features, probe, transfer, limits."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import (
    Ascending,
    Block,
    Fraction,
    Grid,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
)
from workflow_scripts.timecat.config.data_sets import Views

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
    initialisation: Literal["library", "lecun_normal"] = Field(
        "library", description="of convolutions: the architecture's own, or LeCun's truncated normal (AlgoPerf)"
    )
    zero_gamma: bool = Field(False, description="begin each residual branch of a ResNet at zero (its last batch norm)")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="of training's forward passes; all else is float32"
    )
    channels_last: bool = Field(False, description="memory format: faster on some devices, other last bits")
    compile: bool = Field(False, description="torch.compile in training (never in evaluation)")

    def recipe(self) -> dict:
        """What the stage is told."""
        return self.model_dump(exclude=set(NOT_OF_THE_RECIPE))

    @model_validator(mode="after")
    def _interpolates(self):
        if self.betas[0] == 0:  # the average is reckoned back from a point between it and the iterate
            raise ValueError("betas: the first number must be greater than 0; 0.9 is usual")
        return self

    @model_validator(mode="after")
    def _divides(self):
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


class Features(Block):
    """What is extracted from each checkpoint."""

    views: Views = Field(
        1, description="augmented passes over the training rows (28 is the original protocol), or [center] for none"
    )
    dtype: Literal["float16", "float32"] = Field("float16", description="number format of the files")
    batch_size: PositiveInt = Field(500, description="images per forward pass")
    augmentation_seed: Seed = Field(0, description="draws the crops and flips of all views")


class Probe(Block):
    """The probe: batch norm and a linear layer on frozen, concatenated features. Defaults: the original protocol."""

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
    init_std: NonNegativeFloat = Field(0.01, description="standard deviation of initial weights")
    weight_decays: Grid = Field(
        [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05], description="the grid; on the linear layer only"
    )


class Transfer(Block):
    """Arms with `transfer: finetune` or `direct`: backbones and linear layer trained together on the target."""

    seed: Seed = Field(
        0,
        description="draws the linear layer's initial weights, order and augmentation: seed + r those of replicate r, from 0",
    )
    epochs: PositiveInt = Field(28, description="passes, each with fresh augmentation")
    batch_size: Annotated[int, Field(gt=1)] = Field(
        256, description="images per step; all members take them at once, so memory grows with members"
    )
    lr: PositiveFloat = Field(0.01, description="learning rate of SGD with Nesterov momentum, for the linear layer")
    backbone_lr: PositiveFloat = Field(0.001, description="learning rate of the backbones")
    momentum: Probability = Field(0.9, description="momentum")
    lr_milestones: Annotated[list[PositiveInt], Ascending] = Field(
        [8, 16, 24], description="epochs after which the learning rates drop, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of each drop")
    least_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="at least so many steps: on data sets of few rows, an epoch is as many passes as that takes (so that "
        "arms on a small and on a large one are trained for as long)",
    )
    weight_decays: Grid = Field([0.0001], description="the grid; on all parameters but batch norm's")


class DirectTransfer(Transfer):
    """The same keys, for `transfer: direct`, whose backbones start from nothing."""

    backbone_lr: PositiveFloat = Field(0.01, description="learning rate of the backbones")


class Heldout(Block):
    """The training rows that selection `holdout` sets aside, class-stratified."""

    seed: Seed = Field(0, description="draws the rows")
    fraction: Fraction = Field(0.1, description="share of each class")


class Table(Block):
    """How the table and its figure look."""

    width_per_panel: PositiveFloat = Field(2.4, description="inches")
    height: PositiveFloat = Field(2.6, description="inches")


class Limits(Block):
    """What describes the work and the machine; changing it re-runs nothing and, but for GPUs, changes no bit."""

    resume_seconds: Annotated[int, Field(ge=0)] = Field(
        120, description="how often a job that trains backbones (pretrain, transfer) saves its own resume file"
    )
    workers: PositiveInt = Field(
        1, description="threads that decode or write images, per job (of a job on several GPUs: per GPU)"
    )
    pretrain_gpus: PositiveInt = Field(
        1,
        description="GPUs of one pretraining job, all of one machine unless there are pretrain_nodes, which share each "
        "batch; like another kind of GPU, another number of them changes the last bits of what is trained from then on "
        "(and the masks of dropout, where a GPU has less than a whole batch / accumulation)",
    )
    pretrain_nodes: PositiveInt = Field(
        1,
        description="nodes of a Slurm cluster that one pretraining job is on, each with an equal part of pretrain_gpus",
    )
    extract_gpus: PositiveInt = Field(
        1,
        description="GPUs of one extraction job, all of one machine, which share each data set's rows; not needed to keep "
        "several busy",
    )
    memory_gb: PositiveFloat = Field(
        2.0,
        description="features that a probe keeps in memory at once (10^9 bytes; a view, the held-out and the evaluation "
        "rows of one replicate's members); what exceeds it is read from disk as it goes",
    )
    pretrain_memory_mb: PositiveInt = Field(
        2000, description="memory of a job that trains backbones, on all its GPUs together, for schedulers"
    )
    memory_mb: PositiveInt = Field(
        2000, description="memory of any other job, for schedulers; a probe asks for memory_gb on top"
    )
    runtime_minutes: PositiveInt = Field(
        30, description="run time of a job, for schedulers; a job that is tried again (--retries) asks for more"
    )
    longest_runtime_minutes: PositiveInt = Field(
        1440,
        description="what a job that is tried again asks for at most: the longest that the cluster's partition takes",
    )
    forkserver: bool = Field(
        False,
        description="on one machine: jobs are forks of a process that has torch loaded, which spares each the seconds of "
        "loading it (Snakemake's benchmarks then lack their memory and CPU time; the stages' logs have the latter)",
    )

    @model_validator(mode="after")
    def _equal_nodes(self):
        if self.pretrain_gpus % self.pretrain_nodes:
            raise ValueError(
                f"pretrain_gpus: {self.pretrain_gpus} GPUs cannot be divided among {self.pretrain_nodes} nodes "
                "(pretrain_nodes); give a multiple"
            )
        return self


class ContainerImage(Block):
    """The image in which stages run with `--profile profiles/apptainer`: what it is built on. Another base is another image,
    in which everything is computed anew."""

    bootstrap: str = Field(
        "docker", description="where `base` is from, as Apptainer's definition files say: docker, localimage"
    )
    base: str = Field(
        "python:3.11-slim-bookworm", description="a Debian or Ubuntu with Python 3.11 or newer: an image's name or file"
    )
    gpu: bool = Field(
        True,
        description="whether the image holds all that a GPU's work loads; without it, it is smaller and for CPUs only",
    )
