"""Input functions of the rules. They return the files that a job reads, given its wildcards."""

from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.chains import Chains
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.paths import CellFiles, DataSetFiles, Paths, SidecarFiles, WeightsFiles
from workflow_scripts.timecat.study.publications import Publications
from workflow_scripts.timecat.study.tables import Tables
from workflow_scripts.timecat.study.wildcards import (
    CellKey,
    CheckpointKey,
    FeaturesKey,
    HasCell,
    HasCheckpoint,
    HasDataSet,
    HasMembers,
    HasRun,
    HasSplit,
    HasTable,
)


class Inputs:
    """The input files of a study's jobs, in the order in which stages expect them."""

    def __init__(
        self,
        paths: Paths,
        chains: Chains,
        publications: Publications,
        arms: Arms,
        data_sets: DataSets,
        tables: Tables,
    ):
        self._paths, self._chains, self._publications = paths, chains, publications
        self._arms, self._data_sets, self._tables = arms, data_sets, tables

    # --- data sets ---

    def probed_sidecar(self, wildcards: HasSplit) -> list[str]:
        """Return the sidecar of the split whose class numbers a split uses, if any (DataSets.numbered_by)."""
        return [files.sidecar for files in self._numbering(wildcards)]

    def probed_index(self, wildcards: HasSplit) -> list[str]:
        """Return the index of the split whose class numbers a split uses, if any (DataSets.numbered_by)."""
        return [files.index for files in self._numbering(wildcards)]

    def _numbering(self, wildcards: HasSplit) -> list[DataSetFiles]:
        key = self._data_sets.numbered_by(wildcards.data_set, wildcards.split)
        return [] if key is None else [self._paths.data_set.at(key)]

    def train_beton(self, wildcards: HasDataSet) -> list[str]:
        """Return the .beton file of the training images; no file for a data set for evaluation only."""
        return [files.beton for files in self._train(wildcards.data_set)]

    def train_sidecar(self, wildcards: HasDataSet) -> list[str]:
        """Return the sidecar of the training images; no file for a data set for evaluation only."""
        return [files.sidecar for files in self._train(wildcards.data_set)]

    def drawn_index(self, wildcards: HasDataSet) -> list[str]:
        """Return the index of the training images, which stores each row's draws; no file if there is one draw."""
        if self._data_sets.number_of_draws(wildcards.data_set) == 1:
            return []
        return [files.index for files in self._train(wildcards.data_set)]

    def _train(self, data_set: str) -> list[DataSetFiles]:
        if self._data_sets.is_for_evaluation(data_set):
            return []
        return [self._paths.data_set.at(data_set=data_set, split="train")]

    # --- checkpoints ---

    def previous_state(self, wildcards: HasCheckpoint) -> list[str]:
        """Return the training state that a milestone resumes from; no file at the start of the chain."""
        step = self._chains.previous_step(wildcards.source, wildcards.backbone, int(wildcards.step))
        return [] if step is None else [self._paths.checkpoint.at(wildcards, step=str(step)).state]

    def previous_sidecar(self, wildcards: HasCheckpoint) -> list[str]:
        """Return the sidecar of the training state that a milestone resumes from; no file at the start of the chain."""
        step = self._chains.previous_step(wildcards.source, wildcards.backbone, int(wildcards.step))
        return [] if step is None else [self._paths.checkpoint.at(wildcards, step=str(step)).state_sidecar]

    def initial_images(self, wildcards: HasCheckpoint) -> str:
        """Return the .beton file of the images for the batch-norm statistics of an untrained network."""
        return self._paths.data_set.at(data_set=self._seen_first(wildcards), split="train").beton

    def initial_images_sidecar(self, wildcards: HasCheckpoint) -> str:
        """Return the sidecar of the images that `initial_images` returns."""
        return self._paths.data_set.at(data_set=self._seen_first(wildcards), split="train").sidecar

    def _seen_first(self, wildcards: HasCheckpoint) -> str:
        return self._data_sets.seen_first(wildcards.source, wildcards.backbone in self._publications)

    def published_file(self, wildcards: HasRun) -> str:
        """Return the local path (possibly of a download) of the published file from which a checkpoint is imported."""
        return self._publications[wildcards.backbone].file(int(wildcards.seed), int(wildcards.step))

    def published_sidecar(self, wildcards: HasRun) -> list[str]:
        """Return the sidecar of the published file of a checkpoint if the file is downloaded, else no file."""
        return self._publications[wildcards.backbone].sidecars(int(wildcards.seed), int(wildcards.step))

    def member_weights(self, wildcards: HasMembers) -> list[str]:
        """Return the weight files of an arm to fine-tune, replicate after replicate; no file for direct training."""
        return [files.weights for files in self._weights(wildcards)]

    def member_weights_sidecars(self, wildcards: HasMembers) -> list[str]:
        """Return the sidecars of the weight files that `member_weights` returns."""
        return [files.weights_sidecar for files in self._weights(wildcards)]

    def _weights(self, wildcards: HasMembers) -> list[WeightsFiles]:
        if self._arms[wildcards.arm].transfer == "direct":
            return []
        return [self._paths.checkpoint.at(key) for key in self._members(wildcards)]

    def _members(self, wildcards: HasMembers) -> list[CheckpointKey]:
        """Return the checkpoints of an arm on a data set, replicate after replicate, member after member."""
        replicates = self._arms.checkpoints_of(self._arms[wildcards.arm], wildcards.data_set)
        return [member for replicate in replicates for member in replicate]

    # --- features and heads ---

    def feature_folders(self, wildcards: HasMembers) -> list[str]:
        """Return the feature folders of an arm on a data set, replicate after replicate, member after member."""
        return [files.path for files in self._features(wildcards)]

    def feature_sidecars(self, wildcards: HasMembers) -> list[str]:
        """Return the sidecars of the feature folders that `feature_folders` returns."""
        return [files.sidecar for files in self._features(wildcards)]

    def _features(self, wildcards: HasMembers) -> list[SidecarFiles]:
        return [
            self._paths.features.at(FeaturesKey(**vars(member), data_set=wildcards.data_set))
            for member in self._members(wildcards)
        ]

    def heads(self, wildcards: HasCell) -> str:
        """Return the file of the saved heads that are evaluated on a data set for evaluation only."""
        return self._paths.probe.at(wildcards, data_set=self._data_sets.probed(wildcards.data_set)).heads

    def heads_sidecar(self, wildcards: HasCell) -> str:
        """Return the sidecar of the saved heads that are evaluated on a data set for evaluation only."""
        return self._paths.probe.at(wildcards, data_set=self._data_sets.probed(wildcards.data_set)).heads_sidecar

    # --- tables: functions of {table}, or of no wildcard ---

    def cell_files(self, cell: CellKey) -> CellFiles:
        """Return the files of a cell; which files it has depends on how its arm is transferred."""
        transfer = self._arms[cell.arm].transfer
        if transfer == "reweight":
            return self._paths.reweighting.at(cell)
        if transfer != "probe":
            return self._paths.transfer.at(cell)
        if self._data_sets.is_for_evaluation(cell.data_set):
            return self._paths.evaluation.at(cell)
        return self._paths.probe.at(cell)

    def metrics(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the metrics of every cell of a table, in the order of Tables.cells."""
        return [self.cell_files(cell).metrics for cell in self._tables.cells(wildcards.table)]

    def references(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the metrics of a table's floors, projection and ceilings, in Tables.references' order."""
        return [self.cell_files(key.cell).metrics for key in self._tables.references(wildcards.table)]

    def reference_predictions(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the predictions of a table's floors, projection and ceilings (Tables.references)."""
        return [self.cell_files(key.cell).predictions for key in self._tables.references(wildcards.table)]

    def reference_predictions_sidecars(self, wildcards: HasTable) -> list[str]:
        """Return the sidecars of the files that `reference_predictions` returns."""
        return [self.cell_files(key.cell).predictions_sidecar for key in self._tables.references(wildcards.table)]

    def predictions(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the predictions of every cell of a table, in the order of Tables.cells."""
        return [self.cell_files(cell).predictions for cell in self._tables.cells(wildcards.table)]

    def predictions_sidecars(self, wildcards: HasTable) -> list[str]:
        """Return the sidecars of the files that `predictions` returns."""
        return [self.cell_files(cell).predictions_sidecar for cell in self._tables.cells(wildcards.table)]

    def evaluation_indices(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the index files of the evaluation splits, one per data set of a table."""
        return [files.index for files in self._evaluation(wildcards.table)]

    def evaluation_sidecars(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the sidecars of the evaluation splits, one per data set of a table."""
        return [files.sidecar for files in self._evaluation(wildcards.table)]

    def train_indices(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the index files of the training splits, one per data set of a table.

        For a data set for evaluation only, use the training split of the data set whose probe is evaluated on it
        (DataSets.probed).
        """
        return [files.index for files in self._training(wildcards.table)]

    def train_sidecars(self, wildcards: HasTable) -> list[str]:
        """Return the paths of the sidecars of the training splits whose index files `train_indices` returns."""
        return [files.sidecar for files in self._training(wildcards.table)]

    def _evaluation(self, table: str) -> list[DataSetFiles]:
        names = self._tables.data_sets(table)
        return [self._paths.data_set.at(data_set=name, split="evaluation") for name in names]

    def _training(self, table: str) -> list[DataSetFiles]:
        names = map(self._data_sets.probed, self._tables.data_sets(table))
        return [self._paths.data_set.at(data_set=name, split="train") for name in names]

    def diagnoses(self, wildcards: object = None) -> list[str]:
        """Return the paths of the diagnostics of every cell in Tables.diagnosed_cells."""
        return [self._paths.diagnosis.at(cell).path for cell in self._tables.diagnosed_cells()]

    def tables_with_a_block(self, wildcards: object = None) -> list[str]:
        """Return the CSV file of every table that has a block in the config (Tables.names)."""
        return [self._paths.table.at(table=name).csv for name in self._tables.names]
