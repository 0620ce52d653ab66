"""Params of the rules that compute: settings of the config that rules pass to stages.

Params are canonical JSON of the smallest part of the config that the stage needs, so that a change of the config
re-runs exactly the stages that it can affect. Params of tables are in study.table_params.
"""

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.publications import Publications
from workflow_scripts.timecat.study.wildcards import (
    HasArm,
    HasBackbone,
    HasDataSet,
    HasDownload,
    HasMembers,
    HasRun,
    HasSource,
    HasSplit,
)


class Params:
    """The params of a study's stages, as functions of wildcards."""

    def __init__(self, config: Config, publications: Publications, arms: Arms, data_sets: DataSets):
        self._config, self._publications = config, publications
        self._arms, self._data_sets = arms, data_sets

    @property
    def image_arguments(self) -> str:
        """Build arguments of containers/timecat.def, as JSON."""
        return canonical_json(self._config.container.build_arguments())

    # --- data sets ---

    def data_set(self, wildcards: HasSplit) -> str:
        """Return the settings that determine the stored images of one split of a data set."""
        return canonical_json(self._config.split_settings(wildcards.data_set, wildcards.split))

    def transform(self, wildcards: HasDataSet) -> str:
        """Return the transform of a data set from images to inputs."""
        return self._transform(wildcards.data_set)

    def source_transform(self, wildcards: HasSource) -> str:
        """Return the transform of the data set that backbones are pretrained on."""
        return self._transform(wildcards.source)

    def image_size(self, wildcards: HasSource) -> int:
        """Return the width and height, in pixels, of the source's images after the transform."""
        return self._data_sets.image_size(wildcards.source)

    def _transform(self, data_set: str) -> str:
        return canonical_json(self._data_sets.transform(data_set).settings())

    # --- checkpoints ---

    def backbone(self, wildcards: HasBackbone) -> str:
        """Return the settings of a backbone's network."""
        return canonical_json(self._config.backbones[wildcards.backbone].settings())

    def recipe(self, wildcards: HasBackbone) -> str:
        """Return the recipe that a backbone is pretrained with."""
        return canonical_json(self._config.recipe_of(wildcards.backbone).recipe())

    def beginning(self, wildcards: HasBackbone) -> str:
        """Return the settings of a backbone's recipe that determine its untrained network."""
        return canonical_json(self._config.recipe_of(wildcards.backbone).beginning())

    def download_url(self, wildcards: HasDownload) -> str:
        """Return the URL of a download, as plain text."""
        return self._publications.downloads[wildcards.download].urls[wildcards.download]

    def publication(self, wildcards: HasRun) -> str:
        """Return the settings that determine an imported checkpoint.

        The settings are the SHA-256 of a local file, the path inside an archive, and the keys of the published file
        that may be left out.
        """
        seed, step = int(wildcards.seed), int(wildcards.step)
        published = self._publications[wildcards.backbone]
        return canonical_json(
            Publication(
                member=published.member(seed, step),
                local_sha256=published.local_sha256(seed, step),
                ignored=tuple(published.checkpoints.ignored),
            )
        )

    # --- features, probes, transfers ---

    def extraction(self, wildcards: HasDataSet) -> str:
        """Return the settings of feature extraction, with the names of the data set's views."""
        return canonical_json(self._config.features.extraction(self._data_sets.view_names(wildcards.data_set)))

    def views(self, wildcards: HasDataSet) -> str:
        """Return the names of a data set's training views."""
        return canonical_json(self._data_sets.view_names(wildcards.data_set))

    def heldout(self, wildcards: HasDataSet) -> str:
        """Return the settings of held-out training rows, or null for a data set without training rows."""
        if self._data_sets.is_for_evaluation(wildcards.data_set):
            return canonical_json(None)
        return canonical_json(self._config.heldout.settings())

    def replicates(self, wildcards: HasArm) -> str:
        """Return the seeds of each replicate of an arm."""
        return canonical_json(self._arms.replicates(self._arms[wildcards.arm]))

    def probe(self, wildcards: HasMembers) -> str:
        """Return the training settings of an arm's probe on a data set."""
        own_grid = self._config.with_training_rows(wildcards.data_set).weight_decays
        arm = self._arms[wildcards.arm]
        return canonical_json(self._config.probe.protocol(own_grid, arm.solver, arm.reduce))

    def reweight(self, wildcards: object) -> str:
        """Return the settings for training a last layer on balanced groups."""
        return canonical_json(self._config.reweight.settings())

    def transfer_mode(self, wildcards: HasArm) -> str:
        """Return "finetune" or "direct", as plain text."""
        return self._arms[wildcards.arm].transfer

    def transfer(self, wildcards: HasArm) -> str:
        """Return the settings for fine-tuning an arm or training it directly."""
        return canonical_json(self._config.transfer_settings(self._arms[wildcards.arm]))

    def transfer_backbone(self, wildcards: HasArm) -> str:
        """Return the settings of a direct arm's backbone; null for fine-tuning.

        Fine-tuning reads the settings of the backbone from the weight files.
        """
        arm = self._arms[wildcards.arm]
        settings = self._config.backbones[self._config.backbone_of(arm)].settings()
        return canonical_json(settings if arm.transfer == "direct" else None)

    def transfer_initialisation(self, wildcards: HasArm) -> str:
        """Return the settings of the initial weights of a direct arm; null for fine-tuning."""
        arm = self._arms[wildcards.arm]
        start = self._config.recipe_of(self._config.backbone_of(arm)).start()
        return canonical_json(start if arm.transfer == "direct" else None)

    def counterexample(self, wildcards: object) -> str:
        """Return the settings of the counterexample and its networks."""
        return canonical_json(self._config.counterexample.settings())
