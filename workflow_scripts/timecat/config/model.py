"""The typed config: what a study's YAML file may say, what each key means, its default, and what is refused.

Only the Snakefile and the documentation read this module; stages get the smallest part of the config that they need on
their command line, as the frozen dataclass that the block builds. Reading is strict: unknown keys and mistyped values
are errors (see config.reading). Each block has the module of its name.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.backbones.sizes import known_dimension
from workflow_scripts.timecat.config.arms import (
    OTHER_TABLES,
    TABLES,
    AccuracyTable,
    Arm,
    ArmTable,
    check_baseline,
    collected_arms,
)
from workflow_scripts.timecat.config.backbones import AnyBackbone, RandomProjection, RecipeChanges
from workflow_scripts.timecat.config.blocks import Block, FilePath, Name, PositiveInt, ResultsFolder, changed
from workflow_scripts.timecat.config.calibration import Calibration
from workflow_scripts.timecat.config.checkpoints import Checkpoints
from workflow_scripts.timecat.config.checks import CHECKS
from workflow_scripts.timecat.config.container import ContainerImage
from workflow_scripts.timecat.config.counterexample import Counterexample
from workflow_scripts.timecat.config.data_sets import AnyDataSet, DataSet, EvaluationFolder, Images, OfSequences, Part
from workflow_scripts.timecat.config.features import Features
from workflow_scripts.timecat.config.floors import PIXELS, Ceiling, Floors
from workflow_scripts.timecat.config.gap import GapTable
from workflow_scripts.timecat.config.grid import ArmGrid
from workflow_scripts.timecat.config.heldout import Heldout
from workflow_scripts.timecat.config.limits import Limits
from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.config.probe import Probe
from workflow_scripts.timecat.config.replicates import Replicates
from workflow_scripts.timecat.config.reweight import Reweight
from workflow_scripts.timecat.config.spurious import SpuriousTable
from workflow_scripts.timecat.config.table import Table
from workflow_scripts.timecat.config.transfer import DirectTransfer, Transfer
from workflow_scripts.timecat.config.width import WidthTable, reduced_arms
from workflow_scripts.timecat.transfer.settings import Settings as TransferSettings


class Config(Block):
    """A study."""

    source: Name = Field(description="the data set that backbones are pretrained on")
    targets: list[Name] = Field(
        description="the data sets that are probed, in the order of the table's columns", min_length=1
    )
    backbone: Name = Field(description="the backbone of the study, a key of `backbones`")
    data_sets_file: FilePath | None = Field(
        None,
        description="a YAML file whose block `data_sets` is read first, for studies that share data sets; the study's own "
        "`data_sets` add to it or change single keys. A path that is not in the working directory is looked for in the "
        "project's folder",
    )
    data_sets: dict[Name, AnyDataSet] = Field(description="data sets by name", min_length=1)
    backbones: dict[Name, AnyBackbone] = Field(description="backbones by name", min_length=1)
    pretrain: Pretrain = Field(description="the pretraining recipe")
    checkpoints: Checkpoints | None = Field(None, description="published weights that take the place of pretraining")
    arms: list[Arm] = Field(description="the rows of table 2, in order", min_length=1)
    baseline: Name | None = Field(
        None, description="the arm of table 2 that its others are compared with (default: the first)"
    )
    replicates: Replicates = Field(Replicates(), description="how seeds make the replicates of arms")
    table1: AccuracyTable | None = Field(
        None,
        description="the rows of table 1: one network, one of the ensemble's size, the ensemble; parameters counted",
    )
    controls: AccuracyTable | None = Field(
        None, description="the rows of the table of controls: width, copies, snapshots, another recipe; likewise"
    )
    families: AccuracyTable | None = Field(
        None, description="the rows of the table of families: other architectures, other pretraining; likewise"
    )
    width: WidthTable | None = Field(
        None, description="accuracy against dimensions: arms with their features reduced to each of several widths"
    )
    grid: ArmGrid | None = Field(None, description="members x steps, all of them")
    gap: GapTable | None = Field(
        None, description="transferred from a mixture or trained on its components directly (section 2 of the paper)"
    )
    genomics: GapTable | None = Field(None, description="the same of genomic sequences (section 4.3 of the paper)")
    spurious: SpuriousTable | None = Field(
        None, description="worst groups where a feature is spurious (section 4.2 of the paper)"
    )
    floors: Floors | None = Field(
        Floors(), description="what untrained networks reach, beside each arm; null: no floors"
    )
    ceiling: Ceiling | None = Field(None, description="what can be reached on each target")
    reweight: Reweight = Field(Reweight(), description="how arms with `transfer: reweight` are trained")
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
    data_dir: FilePath | None = Field(
        None, description="what the data sets' `root`s are relative to, instead of the working directory"
    )
    results_dir: ResultsFolder = Field(
        "results",
        description="the folder of all that is made, relative to the working directory or absolute. Studies with different "
        "folders share nothing and overwrite nothing of one another; no result depends on its name",
    )
    scratch_dir: FilePath | None = Field(
        None,
        description="where the .beton files go, instead of `data_sets` in results_dir, which becomes a link to it; one "
        "folder for each results_dir",
    )
    container: ContainerImage = Field(ContainerImage(), description="the image in which stages run, where they do")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_baseline(self.baseline, [arm.name for arm in self.arms])
        self._complete_parts()
        self._add_pixels()
        for name, block in self.data_sets.items():
            self.data_sets[name] = block.in_folder(self.data_dir)
        for check in CHECKS:
            check(self)
        for name, block in self.data_sets.items():
            if isinstance(block, Images):
                self.data_sets[name] = block.with_default_draws(name in self.pretrained_on)
        return self

    def _complete_parts(self) -> None:
        """Give each part of a data set the whole's transform and views, if it has none of its own."""
        wholes = {
            name: block for name, block in self.data_sets.items() if not isinstance(block, Part | EvaluationFolder)
        }
        for name, block in self.data_sets.items():
            if not isinstance(block, Part):
                continue
            if block.of not in wholes:
                raise ValueError(
                    f"data_sets.{name}.of: {block.of!r} is not one of the data sets that a part can be of "
                    f"({', '.join(wholes)})"
                )
            whole = wholes[block.of]
            if isinstance(whole, OfSequences) and (key := block.own_reading):
                raise ValueError(f"data_sets.{name}.{key}: sequences are read as they are stored; remove the key")
            self.data_sets[name] = block.completed(whole)

    def _add_pixels(self) -> None:
        """Add the backbone that is a random projection of the pixels, where floors have one."""
        if self.floors is None or self.floors.projection is None:
            return
        if PIXELS in self.backbones:
            raise ValueError(f"backbones.{PIXELS}: that is what `floors` calls a backbone; give yours another name")
        self.backbones[PIXELS] = RandomProjection(
            architecture="random_projection",
            dimension=self.floors.projection,
            pretrain=RecipeChanges.model_validate({"initialisation": "library", "zero_gamma": False}),
        )

    @property
    def all_arms(self) -> dict[str, Arm]:
        """The arms of all tables by name, and the ceiling's (the grid's, which have none in the config, are left out)."""
        ceiling = self.ceiling.arm if self.ceiling else None
        return collected_arms(self.arms, self.tables, ceiling, lambda arms: chain(*self.reduced_arms(arms).values()))

    def reduced_arms(self, arms: Mapping[str, Arm]) -> dict[str, list[Arm]]:
        """The arms that the block `width` makes, by the name of the whole one. arms: all others, at least."""
        return reduced_arms(self.width, arms, self.arms, self.known_columns)

    def known_columns(self, arm: Arm) -> int | None:
        """The features of all members of an arm, if that is known without building its network."""
        backbone = self.backbones.get(self.backbone_of(arm))
        dimension = None if backbone is None else known_dimension(backbone.settings())
        return None if dimension is None else arm.members * dimension

    @property
    def tables(self) -> dict[str, ArmTable]:
        """The tables beside table 2 that the study has, by name."""
        tables = {name: getattr(self, name) for name in (*TABLES, *OTHER_TABLES)}
        return {name: table for name, table in tables.items() if table is not None}

    def backbone_of(self, arm: Arm) -> str:
        """The name of an arm's backbone."""
        return arm.backbone or self.backbone

    def source_of(self, arm: Arm, target: str) -> str:
        """The name of the data set that an arm is pretrained on before it is transferred to a target."""
        return self.shared_source_of(arm) or target

    def shared_source_of(self, arm: Arm) -> str | None:
        """The name of the data set that an arm is pretrained on for all targets; None where that is each target itself."""
        return None if arm.pretrained_on == "target" else arm.source or self.source

    def sources_of(self, arm: Arm) -> list[str]:
        """The names of all data sets that an arm is pretrained on."""
        shared = self.shared_source_of(arm)
        return self.targets_of_arm(arm) if shared is None else [shared]

    @property
    def pretrained_on(self) -> set[str]:
        """The names of the data sets that backbones are pretrained on, in any table."""
        of_tables = {table.source for table in self.tables.values() if table.source}
        return {self.source, *of_tables, *chain(*map(self.sources_of, self.all_arms.values()))}

    def targets_of_arm(self, arm: Arm) -> list[str]:
        """The data sets that an arm is transferred to, in any table."""
        found = list(self.targets) if arm in self.arms else []
        for table in self.tables.values():
            if arm.name in table.names:
                found += table.targets or self.targets
        if self.width is not None and self.width.shows(arm, self.arms):
            found += self.width.targets or self.targets
        if self.ceiling is not None and arm.name == self.ceiling.arm_name:
            found += self.ceiling_targets
        return list(dict.fromkeys(found))

    @property
    def ceiling_targets(self) -> list[str]:
        """The data sets that the ceiling's arm is measured on: the targets of all tables of accuracies, without the source
        and those whose ceiling is known."""
        named = [
            self.targets,
            *(self.tables[name].targets or [] for name in TABLES if name in self.tables),
            self.grid_targets,
            (self.width.targets if self.width else None) or [],
        ]
        left_out = {self.source, *(self.ceiling.known if self.ceiling else ())}
        found = dict.fromkeys(name for targets in named for name in targets)
        return [
            name for name in found if name not in left_out and not isinstance(self.data_sets[name], EvaluationFolder)
        ]

    @property
    def grid_targets(self) -> list[str]:
        """The data sets that the grid names itself."""
        return (self.grid.targets if self.grid else None) or []

    def with_training_rows(self, data_set: str) -> DataSet:
        """The block of a data set that has training rows; of one for evaluation only, that of the data set whose probe it
        is read with."""
        block = self.data_sets[data_set]
        return self.with_training_rows(block.probe_of) if isinstance(block, EvaluationFolder) else block

    def has_sequences(self, data_set: str) -> bool:
        """Whether a data set is of sequences, or of a part of one."""
        return isinstance(self.whole_of(data_set), OfSequences)

    def whole_of(self, data_set: str) -> AnyDataSet:
        """The block of the data set that one is a part of, or its own."""
        block = self.data_sets[data_set]
        return self.data_sets[block.of] if isinstance(block, Part) else block

    def split_settings(self, data_set: str, split: str) -> dict[str, Any]:
        """What makes the images of one split of a data set and how they are stored."""
        block = self.data_sets[data_set]
        if isinstance(block, Part):
            return block.of_whole(self.split_settings(block.of, split), split)
        return block.of_split(split)

    @property
    def publications(self) -> dict[str, Checkpoints]:
        """Published weights by the backbone that they are of."""
        found = {} if self.checkpoints is None else {self.backbone: self.checkpoints}
        own = {name: block.checkpoints for name, block in self.backbones.items() if block.checkpoints is not None}
        return found | own

    def publication_key(self, backbone: str) -> str:
        """Where the block of a backbone's published weights stands."""
        return "checkpoints" if backbone == self.backbone else f"backbones.{backbone}.checkpoints"

    def training_of(self, arm: Arm) -> Transfer:
        """How an arm is fine-tuned or trained directly: the block of that name, with the arm's changes."""
        return changed(self.direct if arm.transfer == "direct" else self.finetune, arm.training)

    def transfer_settings(self, arm: Arm) -> TransferSettings:
        """What the stage is told of how an arm is fine-tuned or trained directly."""
        return self.training_of(arm).settings(self.probe.init_std)

    def recipe_of(self, backbone: str) -> Pretrain:
        """The recipe that a backbone is pretrained with: the study's, with the changes of its block."""
        return changed(self.pretrain, self.backbones[backbone].pretrain)
