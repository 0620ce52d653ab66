"""The typed config of a study: all keys of its YAML file with their meanings, defaults and checks.

Only the Snakefile and the documentation use this module. A stage gets only the part of the config that it needs, on
its command line, as a frozen dataclass that the block builds. Reading is strict: unknown keys and values of the wrong
type are errors (see config.reading). Each block is defined in the module of the same name.
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
    """Top-level keys of a study's config file."""

    source: Name = Field(description="data set that backbones are pretrained on, a key of `data_sets`")
    targets: list[Name] = Field(
        description="data sets on which arms are evaluated, keys of `data_sets`, in the order of the table's columns",
        min_length=1,
    )
    backbone: Name = Field(description="backbone of the study, a key of `backbones`")
    data_sets_file: FilePath | None = Field(
        None,
        description="path of a YAML file with a block `data_sets`, for studies that share data sets. `data_sets` of "
        "the study adds data sets to it or changes single keys. A path that is not in the working directory is looked "
        "up in the project's folder (default: the study defines all data sets itself)",
    )
    data_sets: dict[Name, AnyDataSet] = Field(
        description="data sets by name; required unless `data_sets_file` has all of them", min_length=1
    )
    backbones: dict[Name, AnyBackbone] = Field(description="backbones by name", min_length=1)
    pretrain: Pretrain = Field(description="pretraining recipe and seeds")
    checkpoints: Checkpoints | None = Field(
        None,
        description="published weights of the study's backbone, which replace pretraining (default: backbones are "
        "pretrained)",
    )
    arms: list[Arm] = Field(description="rows of table 2, in order", min_length=1)
    baseline: Name | None = Field(
        None, description="name of the arm that all other arms of table 2 are compared with (default: the first arm)"
    )
    replicates: Replicates = Field(Replicates(), description="how replicates of arms are formed from seeds")
    table1: AccuracyTable | None = Field(
        None,
        description="rows of table 1, which compares one network, one network of the ensemble's size, and the "
        "ensemble; it shows numbers of parameters (default: no such table)",
    )
    controls: AccuracyTable | None = Field(
        None,
        description="rows of the table of controls (for example a wider network, copies of one network, snapshots of "
        "one run, a different recipe); it shows numbers of parameters (default: no such table)",
    )
    families: AccuracyTable | None = Field(
        None,
        description="rows of the table of families (different architectures, different pretraining); it shows numbers "
        "of parameters (default: no such table)",
    )
    width: WidthTable | None = Field(
        None,
        description="table of accuracy against dimensions: arms whose features are reduced to several widths "
        "(default: no such table)",
    )
    grid: ArmGrid | None = Field(
        None,
        description="table of accuracies for each number of members and each number of steps (default: no such table)",
    )
    gap: GapTable | None = Field(
        None,
        description="table of transfer from a mixture against direct training on its components (section 2 of the "
        "paper; default: no such table)",
    )
    genomics: GapTable | None = Field(
        None,
        description="table like `gap` for genomic sequences (section 4.3 of the paper; default: no such table)",
    )
    spurious: SpuriousTable | None = Field(
        None,
        description="table of worst-group accuracies on data sets with a spurious feature (section 4.2 of the paper; "
        "default: no such table)",
    )
    floors: Floors | None = Field(
        Floors(), description="floors of arms, reached with untrained networks and random projections (null: no floors)"
    )
    ceiling: Ceiling | None = Field(
        None, description="ceiling of each target, the accuracy that can be reached (default: no ceilings)"
    )
    reweight: Reweight = Field(Reweight(), description="training of arms with `transfer: reweight`")
    features: Features = Field(Features(), description="feature extraction from checkpoints")
    probe: Probe = Field(Probe(), description="training of probes")
    finetune: Transfer = Field(Transfer(), description="training of arms with `transfer: finetune`")
    direct: DirectTransfer = Field(DirectTransfer(), description="training of arms with `transfer: direct`")
    heldout: Heldout = Field(Heldout(), description="training rows that the selection `holdout` sets aside")
    counterexample: Counterexample = Field(Counterexample(), description="the counterexample (section 3 of the paper)")
    table: Table = Field(Table(), description="size of the figures of tables")
    calibration: Calibration = Field(Calibration(), description="settings of results/calibration.csv")
    torch_threads: PositiveInt = Field(
        1,
        description="number of threads for the arithmetic of one job. A different number can change the last bits of "
        "results, so all results are computed again after a change",
    )
    limits: Limits = Field(
        Limits(),
        description="resources of jobs: intervals, workers, memory, run time and GPUs. A change does not rerun any job",
    )
    data_dir: FilePath | None = Field(
        None, description="folder to which relative `root`s of data sets refer (default: the working directory)"
    )
    results_dir: ResultsFolder = Field(
        "results",
        description="folder for everything that the study produces, relative to the working directory or absolute. "
        "Studies with different folders share no files and do not overwrite one another's files; results do not depend "
        "on the name of the folder",
    )
    scratch_dir: FilePath | None = Field(
        None,
        description="folder for the .beton files, for example on a faster disk; `data_sets` in results_dir becomes a "
        "link to it. Each results_dir needs a different one (default: `data_sets` in results_dir)",
    )
    container: ContainerImage = Field(
        ContainerImage(), description="container image in which stages run with `--profile profiles/apptainer`"
    )

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
        """Complete each part of a data set: transform and views that it does not set come from its parent data set."""
        wholes = {
            name: block for name, block in self.data_sets.items() if not isinstance(block, Part | EvaluationFolder)
        }
        for name, block in self.data_sets.items():
            if not isinstance(block, Part):
                continue
            if block.of not in wholes:
                raise ValueError(
                    f"data_sets.{name}.of: {block.of!r} is not one of the data sets that can have parts "
                    f"({', '.join(wholes)}); correct the name"
                )
            whole = wholes[block.of]
            if isinstance(whole, OfSequences) and (key := block.own_reading):
                raise ValueError(
                    f"data_sets.{name}.{key}: sequences have no transform and a single view; remove the key"
                )
            self.data_sets[name] = block.completed(whole)

    def _add_pixels(self) -> None:
        """Add the backbone `pixels`, a random projection of the pixels, if the floors include one."""
        if self.floors is None or self.floors.projection is None:
            return
        if PIXELS in self.backbones:
            raise ValueError(f"backbones.{PIXELS}: `floors` adds a backbone of this name; give yours another name")
        self.backbones[PIXELS] = RandomProjection(
            architecture="random_projection",
            dimension=self.floors.projection,
            pretrain=RecipeChanges.model_validate({"initialisation": "library", "zero_gamma": False}),
        )

    @property
    def all_arms(self) -> dict[str, Arm]:
        """Arms of all tables and of the ceiling, by name, without arms that only the grid has."""
        ceiling = self.ceiling.arm if self.ceiling else None
        return collected_arms(self.arms, self.tables, ceiling, lambda arms: chain(*self.reduced_arms(arms).values()))

    def reduced_arms(self, arms: Mapping[str, Arm]) -> dict[str, list[Arm]]:
        """Return the reduced arms that the block `width` makes, by the name of the arm that is reduced.

        arms: all arms that are not reduced, by name; further arms are ignored.
        """
        return reduced_arms(self.width, arms, self.arms, self.known_columns)

    def known_columns(self, arm: Arm) -> int | None:
        """Return the total number of features of an arm's members, or None if only the built network tells."""
        backbone = self.backbones.get(self.backbone_of(arm))
        dimension = None if backbone is None else known_dimension(backbone.settings())
        return None if dimension is None else arm.members * dimension

    @property
    def tables(self) -> dict[str, ArmTable]:
        """Tables of the study by name, without table 2, the grid and `width`."""
        tables = {name: getattr(self, name) for name in (*TABLES, *OTHER_TABLES)}
        return {name: table for name, table in tables.items() if table is not None}

    def backbone_of(self, arm: Arm) -> str:
        """Return the name of an arm's backbone."""
        return arm.backbone or self.backbone

    def source_of(self, arm: Arm, target: str) -> str:
        """Return the name of the data set that an arm is pretrained on before its transfer to a target."""
        return self.shared_source_of(arm) or target

    def shared_source_of(self, arm: Arm) -> str | None:
        """Return the data set that an arm is pretrained on for all targets, or None for `pretrained_on: target`."""
        return None if arm.pretrained_on == "target" else arm.source or self.source

    def sources_of(self, arm: Arm) -> list[str]:
        """Return the names of all data sets that an arm is pretrained on."""
        shared = self.shared_source_of(arm)
        return self.targets_of_arm(arm) if shared is None else [shared]

    @property
    def pretrained_on(self) -> set[str]:
        """Names of the data sets that backbones of any table are pretrained on."""
        of_tables = {table.source for table in self.tables.values() if table.source}
        return {self.source, *of_tables, *chain(*map(self.sources_of, self.all_arms.values()))}

    def targets_of_arm(self, arm: Arm) -> list[str]:
        """Return the names of the data sets that an arm is transferred to in any table."""
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
        """Names of the data sets that the ceiling's arm is measured on: targets of all tables of accuracies.

        The source, data sets for evaluation only, and targets whose ceiling is known are left out.
        """
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
        """Names of the data sets that the block `grid` lists, or an empty list."""
        return (self.grid.targets if self.grid else None) or []

    def with_training_rows(self, data_set: str) -> DataSet:
        """Return the block of a data set; for an `evaluation_folder`, the block of the data set in its `probe_of`."""
        block = self.data_sets[data_set]
        return self.with_training_rows(block.probe_of) if isinstance(block, EvaluationFolder) else block

    def has_sequences(self, data_set: str) -> bool:
        """Return whether a data set consists of sequences. A part of a data set of sequences does, too."""
        return isinstance(self.whole_of(data_set), OfSequences)

    def whole_of(self, data_set: str) -> AnyDataSet:
        """Return the block of a data set; for a part, the block of its parent data set."""
        block = self.data_sets[data_set]
        return self.data_sets[block.of] if isinstance(block, Part) else block

    def split_settings(self, data_set: str, split: str) -> dict[str, Any]:
        """Return the settings that determine the stored images of one split of a data set."""
        block = self.data_sets[data_set]
        if isinstance(block, Part):
            return block.of_whole(self.split_settings(block.of, split), split)
        return block.of_split(split)

    @property
    def publications(self) -> dict[str, Checkpoints]:
        """Blocks of published weights by the name of their backbone."""
        found = {} if self.checkpoints is None else {self.backbone: self.checkpoints}
        own = {name: block.checkpoints for name, block in self.backbones.items() if block.checkpoints is not None}
        return found | own

    def publication_key(self, backbone: str) -> str:
        """Return the config key of a backbone's published weights."""
        return "checkpoints" if backbone == self.backbone else f"backbones.{backbone}.checkpoints"

    def training_of(self, arm: Arm) -> Transfer:
        """Return the block `finetune` or `direct` that an arm is trained with, including the arm's changes."""
        return changed(self.direct if arm.transfer == "direct" else self.finetune, arm.training)

    def transfer_settings(self, arm: Arm) -> TransferSettings:
        """Return the settings that the stage `transfer` gets for an arm that is fine-tuned or trained directly."""
        return self.training_of(arm).settings(self.probe.init_std)

    def recipe_of(self, backbone: str) -> Pretrain:
        """Return the pretraining recipe of a backbone: the study's recipe with the backbone's changes."""
        return changed(self.pretrain, self.backbones[backbone].pretrain)
