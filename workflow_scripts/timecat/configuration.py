"""The typed config: what a study's YAML file may say, what each key means, its default, and what is refused.

Only the Snakefile and the documentation read this module; stages get the smallest part of the config that they need on
their command line. Reading is strict: unknown keys and mistyped values are errors (see configuration_errors).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0)]
Views = PositiveInt | Annotated[list[Literal["center"]], Field(min_length=1, max_length=1)]

# What the table's columns are called: these, and for each data set its name with and without each of the endings.
TABLE_COLUMNS = ("method", "members", "steps_per_member", "total_steps", "replicates")
TABLE_ENDINGS = ("_std", "_holdout")


def _repeated(values: list):
    """The first value that stands there twice, or None."""
    return next((value for number, value in enumerate(values) if value in values[:number]), None)


def _without_repeats(values: list) -> list:
    if (value := _repeated(values)) is not None:
        raise ValueError(f"{value!r} stands there twice; remove one")
    return values


def _ascending(values: list) -> list:
    if values != sorted(set(values)):
        raise ValueError(f"{values} is not ascending; write {sorted(set(values))}")
    return values


Grid = Annotated[list[NonNegativeFloat], Field(min_length=1), AfterValidator(_without_repeats)]


class Block(BaseModel):
    """A block of the config."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Transform(Block):
    """How a stored image becomes a network's input. Defaults: the paper's protocol for CIFAR, at 28 px."""

    size: PositiveInt = Field(28, description="side of the network's input, in pixels")
    scale: list[Share] = Field(
        [0.8, 1.0],
        description="smallest and largest area of a random crop, as a fraction of the image's",
        min_length=2,
        max_length=2,
    )
    ratio: list[PositiveFloat] = Field(
        [0.75, 1.3333333333333333],
        description="smallest and largest aspect ratio of a random crop",
        min_length=2,
        max_length=2,
    )
    flip: Probability = Field(0.0, description="probability of a horizontal flip in a random view")
    center_ratio: Share = Field(
        0.875, description="side of the evaluation crop over the image's short side (224/256 in the paper)"
    )
    mean: list[float] = Field(
        [0.35, 0.35, 0.35], description="per channel, of values in 0 to 1", min_length=3, max_length=3
    )
    std: list[PositiveFloat] = Field(
        [0.2, 0.2, 0.2], description="per channel, of values in 0 to 1", min_length=3, max_length=3
    )

    @model_validator(mode="after")
    def _ordered(self):
        for key in ("scale", "ratio"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: the first number must not exceed the second")
        return self


class Rows(Block):
    """Number of images of a made data set."""

    train: PositiveInt
    evaluation: PositiveInt


class DataSet(Block):
    """What every data set says."""

    title: str | None = Field(None, description="its name in tables and figures (default: its key)")
    transform: Transform = Field(Transform(), description="how images become inputs, in probing and as source")
    views: Views | None = Field(None, description="overrides features.views for this data set")
    weight_decays: Grid | None = Field(None, description="overrides probe.weight_decays for this data set")


class Cues(DataSet):
    """Made images in which four families of glyphs compete to predict the class."""

    kind: Literal["cues"]
    seed: Seed = Field(1, description="draws glyphs and images")
    rows: Rows = Field(description="number of images per split")
    agreement: Probability = Field(0.9, description="probability that a glyph agrees with the class (label: class)")
    label: Literal["class", "cue0", "cue1", "cue2", "cue3"] = Field(
        "class", description="the label: the class, or the glyph of one family, all glyphs then being independent"
    )


class Digits(DataSet):
    """The 1,797 scanned digits that ship with scikit-learn, enlarged to 32 x 32."""

    kind: Literal["digits"]
    seed: Seed = Field(1, description="draws the evaluation rows")
    evaluation_fraction: Fraction = Field(0.3333, description="share of each class that is for evaluation")


class SmallResidual(Block):
    """A small residual network for images of about 32 px."""

    architecture: Literal["small_residual"]
    width: PositiveInt = Field(8, description="channels of the first block; each block doubles them")
    blocks: PositiveInt = Field(3, description="number of blocks; each halves the side")


class Pretrain(Block):
    """The pretraining recipe: schedule-free AdamW (Defazio et al. 2024) on cross-entropy."""

    seeds: list[Seed] = Field(
        description="one pretraining run each: fixes initialisation, order and augmentation", min_length=1
    )
    milestones: list[PositiveInt] = Field(
        [], description="steps to keep checkpoints of, beside those that arms ask for"
    )
    batch_size: Annotated[int, Field(gt=1)] = Field(128, description="images per step")
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

    @model_validator(mode="after")
    def _interpolates(self):
        if self.betas[0] == 0:  # the average is reckoned back from a point between it and the iterate
            raise ValueError("betas: the first number must be greater than 0; 0.9 is usual")
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
    lr_milestones: Annotated[list[PositiveInt], AfterValidator(_ascending)] = Field(
        [8, 16, 24], description="epochs after which the learning rate drops, ascending"
    )
    lr_gamma: PositiveFloat = Field(0.1, description="factor of each drop")
    batch_norm: bool = Field(True, description="normalise features before the linear layer")
    init_std: NonNegativeFloat = Field(0.01, description="standard deviation of initial weights")
    weight_decays: Grid = Field(
        [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05], description="the grid; on the linear layer only"
    )


class Heldout(Block):
    """The training rows that selection `holdout` sets aside, class-stratified."""

    seed: Seed = Field(0, description="draws the rows")
    fraction: Fraction = Field(0.1, description="share of each class")


class Arm(Block):
    """A row of the table: `members` checkpoints at `steps` each, their features concatenated."""

    name: Name = Field(description="its name in tables and files")
    members: PositiveInt = Field(description="number of checkpoints")
    steps: PositiveInt = Field(description="optimizer steps of each")
    replicates: list[list[Seed]] | None = Field(
        None,
        description="lists of seeds, one per replicate (default: disjoint groups in the order of pretrain.seeds)",
        min_length=1,
    )


class Table(Block):
    """How the table and its figure look."""

    width_per_panel: PositiveFloat = Field(2.4, description="inches")
    height: PositiveFloat = Field(2.6, description="inches")


class Limits(Block):
    """What describes the work but cannot change a number; changing it re-runs nothing."""

    resume_seconds: Annotated[int, Field(ge=0)] = Field(
        120, description="how often pretraining saves its own resume file"
    )
    workers: PositiveInt = Field(1, description="threads that decode or write images, per job")
    pretrain_memory_mb: PositiveInt = Field(2000, description="memory of a pretraining job, for schedulers")
    memory_mb: PositiveInt = Field(2000, description="memory of any other job, for schedulers")
    runtime_minutes: PositiveInt = Field(30, description="run time of a job, for schedulers")


class Config(Block):
    """A study."""

    source: Name = Field(description="the data set that backbones are pretrained on")
    targets: list[Name] = Field(
        description="the data sets that are probed, in the order of the table's columns", min_length=1
    )
    backbone: Name = Field(description="the backbone of the study, a key of `backbones`")
    data_sets: dict[Name, Annotated[Cues | Digits, Field(discriminator="kind")]] = Field(
        description="data sets by name", min_length=1
    )
    backbones: dict[Name, SmallResidual] = Field(description="backbones by name", min_length=1)
    pretrain: Pretrain = Field(description="the pretraining recipe")
    arms: list[Arm] = Field(description="the rows of the table, in order", min_length=1)
    features: Features = Field(Features(), description="what is extracted from each checkpoint")
    probe: Probe = Field(Probe(), description="the probe")
    heldout: Heldout = Field(Heldout(), description="the rows that selection `holdout` sets aside")
    table: Table = Field(Table(), description="how the table's figure looks")
    torch_threads: PositiveInt = Field(
        1,
        description="threads of one job's arithmetic; can change the last bits of a number, so a change re-runs everything",
    )
    limits: Limits = Field(Limits(), description="what cannot change a number: intervals, workers, memory, run time")

    @model_validator(mode="after")
    def _consistent(self):
        for key in ("source", "targets"):
            for name in [self.source] if key == "source" else self.targets:
                if name not in self.data_sets:
                    raise ValueError(f"{key}: {name!r} is not one of the data sets ({', '.join(self.data_sets)})")
        if self.backbone not in self.backbones:
            raise ValueError(f"backbone: {self.backbone!r} is not one of the backbones ({', '.join(self.backbones)})")
        for key, names in (
            ("targets", self.targets),
            ("pretrain.seeds", self.pretrain.seeds),
            ("arms", [arm.name for arm in self.arms]),
        ):
            if (name := _repeated(names)) is not None:
                raise ValueError(f"{key}: {name!r} stands there twice; give each its own name or remove one")
        for name in self.data_sets:
            if name in TABLE_COLUMNS or name.endswith(TABLE_ENDINGS):
                raise ValueError(f"data_sets: {name!r} is a name of the table's own columns; give it another one")
        for arm in self.arms:
            self._check_replicates(arm)
        return self

    def _check_replicates(self, arm: Arm):
        seeds = self.pretrain.seeds
        if arm.replicates is None and arm.members > len(seeds):
            raise ValueError(
                f"arms: {arm.name!r} needs {arm.members} seeds and pretrain.seeds has {len(seeds)}; "
                f"add {arm.members - len(seeds)} or lower its members"
            )
        # A seed that stands twice inside a replicate is allowed: copies of one checkpoint are a control.
        if (replicate := _repeated(arm.replicates or [])) is not None:
            raise ValueError(
                f"arms: the replicate {replicate} of {arm.name!r} stands there twice and would count as two; remove one"
            )
        for replicate in arm.replicates or []:
            if len(replicate) != arm.members:
                raise ValueError(
                    f"arms: {arm.name!r} has {arm.members} members, its replicate {replicate} has {len(replicate)} seeds; "
                    "list as many seeds as members"
                )
            for seed in replicate:
                if seed not in seeds:
                    raise ValueError(
                        f"arms: seed {seed} of {arm.name!r} is not in pretrain.seeds {seeds}; add it there"
                    )
