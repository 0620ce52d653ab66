"""A study: its files (study.files), and what each stage is told of its config.

The rules use an instance's methods as input functions and params. Params are canonical JSON of the smallest part of the
config that the stage needs, so that a change of the config re-runs exactly the stages that it can affect.
"""

from types import SimpleNamespace

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.study.files import StudyFiles

# What stands in for the wildcards of rules that have none.
SPURIOUS, GRID = (SimpleNamespace(table=table) for table in ("spurious", "grid"))


class Study(StudyFiles):
    """The files of a config, and the params of its stages. Wildcards arrive as Snakemake's (attributes are text)."""

    # --- params: what each stage is told, as JSON ---

    def data_set_settings(self, wildcards) -> str:
        """What makes the images of one split and how they are stored; what is done with them later is not part of it."""
        return canonical_json(self.config.split_settings(wildcards.data_set, wildcards.split))

    def may_download(self, wildcards) -> str:
        """ "true" or "false": a resource, because it changes no image."""
        return str(self.config.whole_of(wildcards.data_set).may_download).lower()

    def transform(self, wildcards) -> str:
        name = wildcards.data_set if hasattr(wildcards, "data_set") else wildcards.source
        return canonical_json(self.config.with_training_rows(name).transform.settings())

    def backbone_settings(self, wildcards) -> str:
        return canonical_json(self.config.backbones[wildcards.backbone].settings())

    def recipe(self, wildcards) -> str:
        return canonical_json(self.config.recipe_of(wildcards.backbone).recipe())

    def download_url(self, wildcards) -> str:
        return self.downloads[wildcards.download].urls[wildcards.download]

    def download_sha256(self, wildcards) -> str:
        return self.downloads[wildcards.download].expected_sha256(self.download_url(wildcards))

    def image_size(self, wildcards) -> int:
        return self.config.with_training_rows(wildcards.source).transform.size

    def publication(self, wildcards) -> str:
        """What makes an imported checkpoint what it is: the file's content, which of it is meant, what may be left out."""
        seed, step = int(wildcards.seed), int(wildcards.step)
        published = self.publications[wildcards.backbone]
        return canonical_json(
            Publication(
                member=published.member(seed, step),
                local_sha256=published.local_sha256(seed, step),
                ignored=tuple(published.checkpoints.ignored),
            )
        )

    def published_sha256(self, wildcards) -> str:
        published = self.publications[wildcards.backbone]
        return published.expected_sha256(published.container(int(wildcards.seed), int(wildcards.step)))

    def member_sha256(self, wildcards) -> str:
        published = self.publications[wildcards.backbone]
        return published.expected_sha256(published.member(int(wildcards.seed), int(wildcards.step)))

    def step_tolerance(self, wildcards) -> int:
        return self.publications[wildcards.backbone].checkpoints.step_tolerance

    def extraction(self, wildcards) -> str:
        return canonical_json(self.config.features.extraction(self.view_names(wildcards.data_set)))

    def views(self, wildcards) -> str:
        return canonical_json(self.view_names(wildcards.data_set))

    def heldout(self, wildcards) -> str:
        if self.is_for_evaluation(wildcards.data_set):
            return canonical_json(None)
        return canonical_json(self.config.heldout.settings())

    def replicate_seeds(self, wildcards) -> str:
        return canonical_json(self.replicates(self.arms[wildcards.arm]))

    def protocol(self, wildcards) -> str:
        own_grid = self.config.with_training_rows(wildcards.data_set).weight_decays
        return canonical_json(self.config.probe.protocol(own_grid))

    def transfer_mode(self, wildcards) -> str:
        return self.arms[wildcards.arm].transfer

    def transfer_settings(self, wildcards) -> str:
        return canonical_json(self.config.transfer_settings(self.arms[wildcards.arm]))

    def transfer_backbone(self, wildcards) -> str:
        """The backbone that a direct arm trains from nothing; weights that are fine-tuned say themselves what they are."""
        arm = self.arms[wildcards.arm]
        settings = self.config.backbones[self.backbone_of(arm)].settings()
        return canonical_json(settings if arm.transfer == "direct" else None)

    def transfer_initialisation(self, wildcards) -> str:
        arm = self.arms[wildcards.arm]
        start = self.config.recipe_of(self.backbone_of(arm)).start()
        return canonical_json(start if arm.transfer == "direct" else None)

    def table_cells(self, wildcards) -> str:
        return canonical_json(self.cells())

    def table_arms(self, wildcards) -> str:
        return canonical_json([self._described(arm) for arm in self.config.arms])

    def calibration_cells(self, wildcards) -> str:
        return canonical_json(self.calibrated_cells())

    def calibration_arms(self, wildcards) -> str:
        """Of calibration_cells: table 2's first."""
        names = dict.fromkeys(cell["arm"] for cell in self.calibrated_cells())
        return canonical_json([self._described(self.arms[name]) for name in names])

    def calibration_data_sets(self, wildcards) -> str:
        """Of calibration_cells: table 2's first, each as the table that has it first describes it."""
        tables = dict.fromkeys(self.config.targets)
        for table in self.calibrated_tables():
            tables |= {name: table for name in self.targets_of(table) if name not in tables}
        return canonical_json([self._described_data_set(name, table) for name, table in tables.items()])

    def table_data_sets(self, wildcards) -> str:
        """Of a table beside table 2 where the rule has such a wildcard."""
        table = getattr(wildcards, "table", None)
        return canonical_json([self._described_data_set(name, table) for name in self.targets_of(table)])

    def _described_data_set(self, name: str, table: str | None) -> dict:
        """What a table beside table 2, or table 2, says of a data set."""
        rows = self.rows_of(table) if table in self.config.tables else self.config.arms
        described = {
            "name": name,
            "title": self.title(name),
            "in_distribution": name == self.source_of_table(table) and not all(map(self._pretrained_on, rows)),
            "views": self.number_of_views(name),
        }
        if self.is_for_evaluation(name):
            described["probe_of"] = self.title(self.config.data_sets[name].probe_of)
        return described

    def diagnostics_cells(self, wildcards) -> str:
        return canonical_json(self.diagnosed_cells())

    def calibration_settings(self, wildcards) -> str:
        return canonical_json(self.config.calibration.settings())

    def counterexample_settings(self, wildcards) -> str:
        return canonical_json(self.config.counterexample.settings())

    def table_style(self, wildcards) -> str:
        return canonical_json(self.config.table.model_dump())

    # --- the tables beside table 2 ---

    def _described(self, arm, usual: str | None = None) -> dict:
        """What a table says of an arm; keys beyond the first four only where there is something to say.

        usual: the backbone of which it says nothing (default: the study's).
        """
        described = arm.model_dump(include={"name", "members", "steps", "transfer"})
        if arm.one_seed:
            described["one_seed"] = True
        if (name := self.backbone_of(arm)) != (usual or self.config.backbone):
            changes = self.config.backbones[name].pretrain
            changes = changes.model_dump(exclude_unset=True) if changes is not None else {}
            described["backbone"] = {"name": name, "changes": changes}
        if other := self._pretrained_on(arm):
            described["pretrained_on"] = other
        if arm.training is not None and (changes := arm.training.model_dump(exclude_unset=True)):
            described["training"] = changes
        if arm.published:
            described["published"] = arm.published
        return described

    def _pretrained_on(self, arm) -> str | None:
        """What an arm's published weights were pretrained on, where that is not the source."""
        return self.config.publications[self.backbone_of(arm)].pretrained_on if self.is_published(arm) else None

    def arm_table_cells(self, wildcards) -> str:
        return canonical_json(self.cells(self.rows_of(wildcards.table), self.targets_of(wildcards.table)))

    def arm_table_arms(self, wildcards) -> str:
        """The rows, with their backbones: the stage counts parameters."""
        rows = self.rows_of(wildcards.table)
        settings = [self.config.backbones[self.backbone_of(arm)].settings() for arm in rows]
        usual = self.config.tables[wildcards.table].backbone
        return canonical_json([self._described(arm, usual) | {"settings": own} for arm, own in zip(rows, settings)])

    def gap_arms(self, wildcards) -> str:
        """The rows of a table of gaps, or of spurious features."""
        usual = self.config.tables[wildcards.table].backbone
        return canonical_json([self._described(arm, usual) for arm in self.rows_of(wildcards.table)])

    def gap_metric(self, wildcards) -> str:
        self.rows_of(wildcards.table)  # says what is missing where the study has no such table
        return self.config.tables[wildcards.table].metric

    # The rule of the spurious features has no wildcard, so these say themselves which table they are of.

    def spurious_cells(self, wildcards=None) -> str:
        return self.arm_table_cells(SPURIOUS)

    def spurious_arms(self, wildcards=None) -> str:
        return self.gap_arms(SPURIOUS)

    def spurious_data_sets(self, wildcards=None) -> str:
        return self.table_data_sets(SPURIOUS)

    def spurious_predictions(self, wildcards=None) -> list[str]:
        return self.arm_table_predictions(SPURIOUS)

    def spurious_predictions_sidecars(self, wildcards=None) -> list[str]:
        return self.arm_table_predictions_sidecars(SPURIOUS)

    def spurious_indices(self, wildcards=None) -> list[str]:
        """The evaluation index of each of its data sets."""
        return [f"results/data_sets/{name}/evaluation.index.parquet" for name in self.targets_of(SPURIOUS.table)]

    def spurious_groups(self, wildcards=None) -> str:
        return canonical_json(self.config.reweight.groups)

    def reweight_settings(self, wildcards) -> str:
        return canonical_json(self.config.reweight.settings())

    def source_image_size(self, wildcards) -> int:
        """Of the table's source."""
        return self.config.with_training_rows(self.source_of_table(wildcards.table)).transform.size

    def grid_cells(self, wildcards) -> str:
        return canonical_json(self.cells(self.grid_arms.values(), self.targets_of("grid")))

    def grid_data_sets(self, wildcards=None) -> str:
        return self.table_data_sets(GRID)

    def grid_rows(self, wildcards) -> str:
        """The grid's arms; `in_table`: whether it is a row of table 2, and so of its budget."""
        own = {arm.name for arm in self.config.arms}
        return canonical_json([self._described(arm) | {"in_table": arm.name in own} for arm in self.grid_arms.values()])
