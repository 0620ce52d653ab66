"""A study as files: which checkpoints, features and probes the config asks for, where they stand, what each stage is told.

The rules use an instance's methods as input functions and params. Params are canonical JSON of the smallest part of the
config that the stage needs, so that a change of the config re-runs exactly the stages that it can affect.
"""

import math

from workflow_scripts.timecat.artifacts import canonical_json
from workflow_scripts.timecat.configuration import Arm, Config
from workflow_scripts.timecat.configuration_data_sets import EvaluationFolder


class Study:
    """The files of a config. Wildcards arrive as Snakemake's (attributes are text)."""

    def __init__(self, config: Config):
        self.config = config

    # --- what the study consists of ---

    @property
    def arms(self) -> dict[str, Arm]:
        """The arms by name, in the order of the table."""
        return {arm.name: arm for arm in self.config.arms}

    @property
    def milestones(self) -> list[int]:
        """Steps at which every seed's chain leaves a checkpoint, ascending."""
        asked_for = {arm.steps for arm in self.config.arms if arm.steps is not None}
        return sorted(asked_for | set(self.config.pretrain.milestones))

    def replicates(self, arm: Arm) -> list[list[int]]:
        """The seeds of each replicate: as listed, else disjoint groups of the study's seeds in their order."""
        if arm.replicates is not None:
            return arm.replicates
        seeds, k = self.config.pretrain.seeds, arm.members
        return [seeds[first : first + k] for first in range(0, len(seeds) - k + 1, k)]

    def view_names(self, data_set: str) -> list[str]:
        """Names of a data set's training views: view0, view1, ... or center."""
        views = self.config.data_sets[data_set].views or self.config.features.views
        return views if isinstance(views, list) else [f"view{number}" for number in range(views)]

    def pattern(self, wildcard: str) -> str:
        """Regular expression of a wildcard's values."""
        values = {"data_set": self.config.data_sets, "backbone": self.config.backbones, "arm": self.arms}
        return "|".join(values[wildcard])

    @property
    def threads(self) -> int:
        """What a job that decodes images and computes takes of the machine's cores."""
        return max(self.config.limits.workers, self.config.torch_threads)

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
        return max((step for step in self.milestones if step < int(wildcards.step)), default=None)

    def previous_state(self, wildcards) -> list[str]:
        """The training state that this milestone continues from: one path, or none at the start of the chain."""
        step = self.previous_step(wildcards)
        if step is None:
            return []
        return [f"results/checkpoints/{wildcards.source}/{wildcards.backbone}/seed{wildcards.seed}/step{step}.state.pt"]

    def previous_sidecar(self, wildcards) -> list[str]:
        return [f"{path}.json" for path in self.previous_state(wildcards)]

    def feature_folders(self, wildcards) -> list[str]:
        """Folders of features of an arm on a data set: replicate after replicate, member after member."""
        arm = self.arms[wildcards.arm]
        return [
            f"results/features/{self.config.source}/{self.config.backbone}/seed{seed}/step{arm.steps}/{wildcards.data_set}"
            for replicate in self.replicates(arm)
            for seed in replicate
        ]

    def feature_sidecars(self, wildcards) -> list[str]:
        return [f"{folder}.json" for folder in self.feature_folders(wildcards)]

    def cells(self) -> list[dict[str, str]]:
        """The table's cells, arm by arm: {"arm", "data_set"}."""
        return [{"arm": arm, "data_set": data_set} for arm in self.arms for data_set in self.config.targets]

    def probes(self, wildcards=None) -> list[str]:
        """The metrics of every cell, in the order of cells()."""
        return [self.cell_path(**cell) for cell in self.cells()]

    def cell_path(self, arm: str, data_set: str) -> str:
        """The metrics of a cell: of a probe, of a probe that is read on a folder for evaluation only, or of a transfer."""
        if self.arms[arm].transfer != "probe":
            folder = "transfers"
        elif isinstance(self.config.data_sets[data_set], EvaluationFolder):
            folder = "evaluations"
        else:
            folder = "probes"
        return f"results/{folder}/{self.config.source}/{data_set}/{arm}.parquet"

    # --- params: what each stage is told, as JSON ---

    def data_set_settings(self, wildcards) -> str:
        block = self.config.data_sets[wildcards.data_set].model_dump()
        # How images are stored and labelled; what is done with them later does not concern the writer.
        return canonical_json(
            {k: v for k, v in block.items() if k not in ("title", "transform", "views", "weight_decays")}
        )

    def transform(self, wildcards) -> str:
        name = wildcards.data_set if hasattr(wildcards, "data_set") else wildcards.source
        return canonical_json(self.config.data_sets[name].transform.model_dump())

    def backbone_settings(self, wildcards) -> str:
        return canonical_json(self.config.backbones[wildcards.backbone].model_dump())

    def recipe(self, wildcards) -> str:
        return canonical_json(self.config.pretrain.model_dump(exclude={"seeds", "milestones"}))

    def extraction(self, wildcards) -> str:
        features = self.config.features.model_dump(exclude={"views"})
        return canonical_json(features | {"views": self.view_names(wildcards.data_set)})

    def views(self, wildcards) -> str:
        return canonical_json(self.view_names(wildcards.data_set))

    def heldout(self, wildcards) -> str:
        return canonical_json(self.config.heldout.model_dump())

    def replicate_seeds(self, wildcards) -> str:
        return canonical_json(self.replicates(self.arms[wildcards.arm]))

    def protocol(self, wildcards) -> str:
        protocol = self.config.probe.model_dump()
        own_grid = self.config.data_sets[wildcards.data_set].weight_decays
        return canonical_json(protocol | ({"weight_decays": own_grid} if own_grid else {}))

    def table_cells(self, wildcards) -> str:
        return canonical_json(self.cells())

    def table_arms(self, wildcards) -> str:
        return canonical_json([arm.model_dump(include={"name", "members", "steps"}) for arm in self.config.arms])

    def table_data_sets(self, wildcards) -> str:
        return canonical_json(
            [
                {
                    "name": name,
                    "title": self.config.data_sets[name].title or name,
                    "in_distribution": name == self.config.source,
                }
                for name in self.config.targets
            ]
        )

    def table_style(self, wildcards) -> str:
        return canonical_json(self.config.table.model_dump())
