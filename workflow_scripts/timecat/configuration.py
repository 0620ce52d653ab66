"""The typed config: what a study's YAML file may say, what each key means, its default, and what is refused.

Only the Snakefile and the documentation read this module; stages get the smallest part of the config that they need on
their command line. Reading is strict: unknown keys and mistyped values are errors (see configuration_errors). Data sets
are in configuration_data_sets, backbones and stages in configuration_stages, published weights in configuration_checkpoints.
"""

from typing import Literal

from pydantic import Field, model_validator

from workflow_scripts.timecat.architectures import mistake_in_sizes, mistake_in_zero_gamma
from workflow_scripts.timecat.configuration_blocks import Block, Name, PositiveInt, Seed, repeated
from workflow_scripts.timecat.configuration_calibration import Calibration
from workflow_scripts.timecat.configuration_checkpoints import Checkpoints
from workflow_scripts.timecat.configuration_counterexample import Counterexample
from workflow_scripts.timecat.configuration_data_sets import AnyDataSet, EvaluationFolder
from workflow_scripts.timecat.configuration_stages import (
    AnyBackbone,
    DirectTransfer,
    Features,
    Heldout,
    Limits,
    Pretrain,
    Probe,
    Table,
    Transfer,
)

# What the table's columns are called: these, and for each data set its name with and without each of the endings.
TABLE_COLUMNS = ("method", "members", "steps_per_member", "total_steps", "replicates")
TABLE_ENDINGS = ("_std", "_holdout")


class Arm(Block):
    """A row of the table: `members` checkpoints at `steps` each, their features concatenated."""

    name: Name = Field(description="its name in tables and files")
    members: PositiveInt = Field(description="number of checkpoints")
    steps: PositiveInt | None = Field(
        None, description="optimizer steps of each; required, except with `transfer: direct`, which has none"
    )
    transfer: Literal["probe", "finetune", "direct"] = Field(
        "probe",
        description="`probe`: frozen backbones; `finetune`: backbones trained on as well; `direct`: backbones trained on "
        "the target from nothing",
    )
    replicates: list[list[Seed]] | None = Field(
        None,
        description="lists of seeds, one per replicate (default: disjoint groups in the order of pretrain.seeds)",
        min_length=1,
    )

    @model_validator(mode="after")
    def _steps_where_pretrained(self):
        if self.transfer == "direct" and self.steps is not None:
            raise ValueError("steps: an arm with `transfer: direct` is not pretrained; remove the key")
        if self.transfer != "direct" and self.steps is None:
            raise ValueError("steps: it is missing; add it (the optimizer steps of each member)")
        return self


class Config(Block):
    """A study."""

    source: Name = Field(description="the data set that backbones are pretrained on")
    targets: list[Name] = Field(
        description="the data sets that are probed, in the order of the table's columns", min_length=1
    )
    backbone: Name = Field(description="the backbone of the study, a key of `backbones`")
    data_sets: dict[Name, AnyDataSet] = Field(description="data sets by name", min_length=1)
    backbones: dict[Name, AnyBackbone] = Field(description="backbones by name", min_length=1)
    pretrain: Pretrain = Field(description="the pretraining recipe")
    checkpoints: Checkpoints | None = Field(None, description="published weights that take the place of pretraining")
    arms: list[Arm] = Field(description="the rows of the table, in order", min_length=1)
    features: Features = Field(Features(), description="what is extracted from each checkpoint")
    probe: Probe = Field(Probe(), description="the probe")
    finetune: Transfer = Field(Transfer(), description="how arms with `transfer: finetune` are trained")
    direct: DirectTransfer = Field(DirectTransfer(), description="how arms with `transfer: direct` are trained")
    heldout: Heldout = Field(Heldout(), description="the rows that selection `holdout` sets aside")
    counterexample: Counterexample = Field(Counterexample(), description="the counterexample (section 3 of the paper)")
    table: Table = Field(Table(), description="how the table's figure looks")
    calibration: Calibration = Field(Calibration(), description="how results/calibration.csv is made")
    torch_threads: PositiveInt = Field(
        1,
        description="threads of one job's arithmetic; can change the last bits of a number, so a change re-runs everything",
    )
    limits: Limits = Field(
        Limits(), description="what re-runs nothing: intervals, workers, memory, run time, GPUs of a job"
    )

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
            if (name := repeated(names)) is not None:
                raise ValueError(f"{key}: {name!r} stands there twice; give each its own name or remove one")
        for name in self.data_sets:
            if name in TABLE_COLUMNS or name.endswith(TABLE_ENDINGS):
                raise ValueError(f"data_sets: {name!r} is a name of the table's own columns; give it another one")
        self._check_evaluation_folders()
        self._check_backbone()
        for arm in self.arms:
            self._check_replicates(arm)
        if self.checkpoints is not None:
            steps = {arm.steps for arm in self.arms if arm.steps is not None}
            self.checkpoints.check_places(self.pretrain.seeds, sorted(steps | set(self.pretrain.milestones)))
        return self

    def _check_backbone(self):
        architecture = self.backbones[self.backbone].architecture
        if self.pretrain.zero_gamma and (mistake := mistake_in_zero_gamma(architecture)):
            raise ValueError(f"pretrain.zero_gamma: {mistake}")
        blocks = {name: self.data_sets[name] for name in (self.source, *self.targets)}
        with_size = {name: block for name, block in blocks.items() if not isinstance(block, EvaluationFolder)}
        sizes = {name: block.transform.size for name, block in with_size.items()}
        if mistake := mistake_in_sizes(architecture, sizes):
            raise ValueError(f"data_sets.{mistake}")

    def _check_evaluation_folders(self):
        trainable = [name for name, block in self.data_sets.items() if not isinstance(block, EvaluationFolder)]
        if self.source not in trainable:
            raise ValueError(f"source: {self.source!r} is for evaluation only; choose one of {', '.join(trainable)}")
        for name, block in self.data_sets.items():
            if isinstance(block, EvaluationFolder) and block.probe_of not in trainable:
                raise ValueError(
                    f"data_sets.{name}.probe_of: {block.probe_of!r} is not a data set that has a probe "
                    f"({', '.join(trainable)})"
                )
        for arm in self.arms:
            only = [name for name in self.targets if name not in trainable]
            if arm.transfer != "probe" and only:
                raise ValueError(
                    f"arms: {arm.name!r} has `transfer: {arm.transfer}`, which leaves no probe to read {only[0]!r} with; "
                    "take that data set out of `targets`, or the arm out"
                )

    def _check_replicates(self, arm: Arm):
        seeds = self.pretrain.seeds
        if arm.replicates is None and arm.members > len(seeds):
            raise ValueError(
                f"arms: {arm.name!r} needs {arm.members} seeds and pretrain.seeds has {len(seeds)}; "
                f"add {arm.members - len(seeds)} or lower its members"
            )
        # A seed that stands twice inside a replicate is allowed: copies of one checkpoint are a control.
        if (replicate := repeated(arm.replicates or [])) is not None:
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
