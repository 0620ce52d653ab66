"""A study as files: which checkpoints, features and probes the config asks for, and where they stand.

The rules use the methods as input functions; what stages are told is in study/study.py.
"""

import math
import re

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.config.arms import GAP_TABLES, TABLES, TRAINED
from workflow_scripts.timecat.config.data_sets import EvaluationFolder, Part
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.arms import StudyArms
from workflow_scripts.timecat.study.publications import Published
from workflow_scripts.timecat.study.rule_helpers import growing


class StudyFiles(StudyArms):
    """The files of a config. Wildcards arrive as Snakemake's (attributes are text)."""

    def view_names(self, data_set: str) -> list[str]:
        """Names of a data set's training views: view0, view1, ... or center; none where it is for evaluation only."""
        if self.is_for_evaluation(data_set):
            return []
        views = self.config.with_training_rows(data_set).views or self.config.features.views
        return views if isinstance(views, list) else [f"view{number}" for number in range(views)]

    def number_of_views(self, data_set: str) -> int | str | None:
        """What the table says of them: their number, "center", or None for a data set that is for evaluation only."""
        if self.is_for_evaluation(data_set):
            return None
        names = self.view_names(data_set)
        return "center" if names == ["center"] else len(names)

    def pattern(self, wildcard: str) -> str:
        """Regular expression of a wildcard's values; where there are none, one that nothing matches."""
        if wildcard == "download":
            return "|".join(re.escape(name) for name in self.downloads) or "(?!)"
        evaluated = [name for name in self.config.data_sets if self.is_for_evaluation(name)]
        values = {
            "data_set": self.config.data_sets,
            "evaluated": evaluated,
            "probed": [name for name in self.config.data_sets if name not in evaluated],
            "backbone": self.config.backbones,
            "imported_backbone": self.publications,
            "pretrained_backbone": [name for name in self.config.backbones if name not in self.publications],
            "table": TABLES,
            "gap_table": GAP_TABLES,
            "arm": self.arms,
            "probed_arm": [name for name, arm in self.arms.items() if arm.transfer == "probe"],
            "transferred_arm": [name for name, arm in self.arms.items() if arm.transfer in TRAINED],
            "reweighted_arm": [name for name, arm in self.arms.items() if arm.transfer == "reweight"],
        }
        return "|".join(values[wildcard]) or "(?!)"

    def title(self, data_set: str) -> str:
        """What tables and figures call a data set."""
        return self.config.data_sets[data_set].title or data_set

    def is_for_evaluation(self, data_set: str) -> bool:
        """Whether a data set has no training rows and no probe of its own."""
        return isinstance(self.config.data_sets[data_set], EvaluationFolder)

    @property
    def threads(self) -> int:
        """What a job that decodes images and computes takes of the machine's cores."""
        return max(self.config.limits.workers, self.config.torch_threads)

    @property
    def pretrain_threads(self) -> int:
        """The same for a pretraining job: of each of its GPUs on one node."""
        return self.threads * self.config.limits.pretrain_gpus // self.config.limits.pretrain_nodes

    @property
    def pretrain_memory_mb(self) -> int:
        """What a pretraining job takes of one node's memory."""
        return math.ceil(self.config.limits.pretrain_memory_mb / self.config.limits.pretrain_nodes)

    @property
    def extract_threads(self) -> int:
        """The same for an extraction job: of each of its GPUs."""
        return self.threads * self.config.limits.extract_gpus

    @property
    def runtime(self):
        """The minutes that a job asks for, as a function of how often it has been tried."""
        return growing(self.config.limits.runtime_minutes, self.config.limits.longest_runtime_minutes)

    @property
    def image_arguments(self) -> str:
        """The build arguments of containers/timecat.def, as JSON."""
        image = self.config.container
        return canonical_json({"BOOTSTRAP": image.bootstrap, "BASE": image.base, "GPU": "yes" if image.gpu else "no"})

    @property
    def feature_memory_gb(self) -> str:
        """What a probe may keep of features, as text: Snakemake rounds a resource that is a number to a whole one."""
        return str(self.config.limits.memory_gb)

    @property
    def probe_memory_mb(self) -> int:
        """Memory of a probe, for schedulers: features come on top of what any job takes."""
        return self.config.limits.memory_mb + math.ceil(1000 * self.config.limits.memory_gb)

    # --- inputs ---

    def previous_step(self, wildcards) -> int | None:
        """The milestone before the wanted one; None where the chain begins."""
        milestones = self.milestones_of(wildcards.backbone, wildcards.source)
        return max((step for step in milestones if step < int(wildcards.step)), default=None)

    def previous_state(self, wildcards) -> list[str]:
        """The training state that this milestone continues from: one path, or none at the start of the chain."""
        step = self.previous_step(wildcards)
        if step is None:
            return []
        return [f"results/checkpoints/{wildcards.source}/{wildcards.backbone}/seed{wildcards.seed}/step{step}.state.pt"]

    def previous_sidecar(self, wildcards) -> list[str]:
        return [f"{path}.json" for path in self.previous_state(wildcards)]

    def probed_sidecar(self, wildcards) -> list[str]:
        """Of what numbers the classes of a split, where it cannot do so itself: one path, or none.

        Of a folder for evaluation only, the data set whose probe it is evaluated with; of a part's rows for evaluation, its
        training rows.
        """
        block = self.config.data_sets[wildcards.data_set]
        if isinstance(block, EvaluationFolder):
            return [f"results/data_sets/{block.probe_of}/evaluation.beton.json"]
        if isinstance(block, Part) and wildcards.split == "evaluation":
            return [f"results/data_sets/{wildcards.data_set}/train.beton.json"]
        return []

    def probed_index(self, wildcards) -> list[str]:
        return [path.replace(".beton.json", ".index.parquet") for path in self.probed_sidecar(wildcards)]

    @property
    def downloads(self) -> dict[str, Published]:
        """What is downloaded: file name under results/downloads -> the publication that it is of."""
        return {name: published for published in self.publications.values() for name in published.urls}

    def published_file(self, wildcards) -> str:
        """The file that a checkpoint is imported from: where it is, or where it is downloaded to."""
        return self.publications[wildcards.backbone].file(int(wildcards.seed), int(wildcards.step))

    def published_sidecar(self, wildcards) -> list[str]:
        """The sidecar of that file if it is downloaded."""
        published = self.publications[wildcards.backbone]
        downloaded = published.is_downloaded(int(wildcards.seed), int(wildcards.step))
        return [f"{self.published_file(wildcards)}.json"] if downloaded else []

    def feature_folders(self, wildcards) -> list[str]:
        """Folders of features of an arm on a data set: replicate after replicate, member after member."""
        paths = self.member_paths(self.arms[wildcards.arm], "features")
        return [f"{path}/{wildcards.data_set}" for path in paths]

    def feature_sidecars(self, wildcards) -> list[str]:
        return [f"{folder}.json" for folder in self.feature_folders(wildcards)]

    def member_weights(self, wildcards) -> list[str]:
        """Weights of an arm's members, replicate after replicate, for fine-tuning; none where training is from nothing."""
        arm = self.arms[wildcards.arm]
        if arm.transfer == "direct":
            return []
        return [f"{path}.safetensors" for path in self.member_paths(arm, "checkpoints")]

    def member_weights_sidecars(self, wildcards) -> list[str]:
        return [f"{path}.json" for path in self.member_weights(wildcards)]

    def train_beton(self, wildcards) -> list[str]:
        """The images that training features are of: none where a data set is for evaluation only."""
        name = wildcards.data_set
        return [] if self.is_for_evaluation(name) else [f"results/data_sets/{name}/train.beton"]

    def train_sidecar(self, wildcards) -> list[str]:
        return [f"{path}.json" for path in self.train_beton(wildcards)]

    def heads(self, wildcards) -> str:
        """The heads that a data set for evaluation only is read with."""
        block = self.config.data_sets[wildcards.data_set]
        return f"results/probes/{wildcards.source}/{block.probe_of}/{wildcards.arm}.heads.safetensors"

    def heads_sidecar(self, wildcards) -> str:
        return f"{self.heads(wildcards)}.json"

    def diagnosed_cells(self) -> list[dict[str, str]]:
        """The cells of probes with more than one member, arm by arm: {"arm", "data_set"}."""
        return [
            cell
            for cell in self.cells()
            if self.arms[cell["arm"]].transfer == "probe"
            and self.arms[cell["arm"]].members > 1
            and not self.is_for_evaluation(cell["data_set"])
        ]

    def diagnostics(self, wildcards=None) -> list[str]:
        """The diagnostics of every such cell, in the order of diagnosed_cells()."""
        return [
            f"results/diagnostics/{self.config.source}/{c['data_set']}/{c['arm']}.parquet"
            for c in self.diagnosed_cells()
        ]

    def cells(self, arms=None, targets=None) -> list[dict[str, str]]:
        """The cells of a table of these arms on these data sets, arm by arm: {"arm", "data_set"}; without, table 2's."""
        arms = self.config.arms if arms is None else arms
        targets = self.config.targets if targets is None else targets
        return [{"arm": arm.name, "data_set": data_set} for arm in arms for data_set in targets]

    def probes(self, wildcards=None, arms=None, targets=None) -> list[str]:
        """The metrics of every cell, in the order of cells()."""
        return [self.cell_path(**cell) for cell in self.cells(arms, targets)]

    def arm_table_probes(self, wildcards) -> list[str]:
        """The same of a table beside table 2."""
        return self.probes(arms=self.rows_of(wildcards.table), targets=self.targets_of(wildcards.table))

    def arm_table_predictions(self, wildcards) -> list[str]:
        """The predictions of the same cells."""
        return _predictions_beside(self.arm_table_probes(wildcards))

    def arm_table_predictions_sidecars(self, wildcards) -> list[str]:
        return [f"{path}.json" for path in self.arm_table_predictions(wildcards)]

    def all_tables(self, wildcards=None) -> list[str]:
        """Every table that the study has a block for; two have defaults for all they need."""
        grid = ["grid"] if self.config.grid is not None else []
        names = ["table2", *self.config.tables, *grid, "calibration", "counterexample"]
        return [f"results/{name}.csv" for name in names]

    def grid_probes(self, wildcards=None) -> list[str]:
        """The same of the grid. UserError where the study has none."""
        if self.config.grid is None:
            raise UserError("the study has no block `grid`; add it to the config (`grid: {}` will do), or ask for less")
        return self.probes(arms=self.grid_arms.values(), targets=self.targets_of("grid"))

    def cell_path(self, arm: str, data_set: str) -> str:
        """The metrics of a cell: of a probe, of a probe that is read on a folder for evaluation only, or of a transfer."""
        if self.arms[arm].transfer != "probe":
            folder = "reweightings" if self.arms[arm].transfer == "reweight" else "transfers"
        elif self.is_for_evaluation(data_set):
            folder = "evaluations"
        else:
            folder = "probes"
        return f"results/{folder}/{self.source_of(self.arms[arm])}/{data_set}/{arm}.parquet"

    def calibrated_tables(self) -> list[str]:
        """The tables beside table 2 whose arms are calibrated too."""
        wanted = self.config.calibration.tables
        return list(self.config.tables) if wanted is None else wanted

    def calibrated_cells(self) -> list[dict[str, str]]:
        """Table 2's cells, then those of the tables beside it, each once: {"arm", "data_set"}."""
        cells = self.cells()
        for table in self.calibrated_tables():
            cells += [cell for cell in self.cells(self.rows_of(table), self.targets_of(table)) if cell not in cells]
        return cells

    def calibrated_data_sets(self) -> list[str]:
        """Of those cells, table 2's first."""
        return list(dict.fromkeys(cell["data_set"] for cell in self.calibrated_cells()))

    def predictions(self, wildcards=None) -> list[str]:
        """The predictions of every cell, in the order of calibrated_cells()."""
        return _predictions_beside([self.cell_path(**cell) for cell in self.calibrated_cells()])

    def predictions_sidecars(self, wildcards=None) -> list[str]:
        return [f"{path}.json" for path in self.predictions()]

    def evaluation_indices(self, wildcards=None) -> list[str]:
        """The index of the evaluation rows of each of calibrated_data_sets()."""
        return [f"results/data_sets/{name}/evaluation.index.parquet" for name in self.calibrated_data_sets()]

    def train_indices(self, wildcards=None) -> list[str]:
        """The index of the training rows of each one's probe; of one for evaluation only, of the data set `probe_of`."""
        blocks = {name: self.config.data_sets[name] for name in self.calibrated_data_sets()}
        probed = [block.probe_of if self.is_for_evaluation(name) else name for name, block in blocks.items()]
        return [f"results/data_sets/{name}/train.index.parquet" for name in probed]

    def evaluation_sidecars(self, wildcards=None) -> list[str]:
        return [path.replace(".index.parquet", ".beton.json") for path in self.evaluation_indices()]

    def train_sidecars(self, wildcards=None) -> list[str]:
        return [path.replace(".index.parquet", ".beton.json") for path in self.train_indices()]


def _predictions_beside(metrics: list[str]) -> list[str]:
    return [path.removesuffix(".parquet") + ".predictions.parquet" for path in metrics]
