"""Params of the rules that compute: what each stage is told of the config.

Params are canonical JSON of the smallest part of the config that the stage needs, so that a change of the config re-runs
exactly the stages that it can affect. Those of tables are in study.table_params.
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
        """The build arguments of containers/timecat.def."""
        return canonical_json(self._config.container.build_arguments())

    # --- data sets ---

    def data_set(self, wildcards: HasSplit) -> str:
        """Return what makes the images of one split and how they are stored; what is done with them later is left out."""
        return canonical_json(self._config.split_settings(wildcards.data_set, wildcards.split))

    def transform(self, wildcards: HasDataSet) -> str:
        """Return how the images of a data set become inputs."""
        return self._transform(wildcards.data_set)

    def source_transform(self, wildcards: HasSource) -> str:
        """Return the same of the data set that backbones are pretrained on."""
        return self._transform(wildcards.source)

    def image_size(self, wildcards: HasSource) -> int:
        """Return the side of the source's inputs, in pixels."""
        return self._data_sets.image_size(wildcards.source)

    def _transform(self, data_set: str) -> str:
        return canonical_json(self._data_sets.transform(data_set).settings())

    # --- checkpoints ---

    def backbone(self, wildcards: HasBackbone) -> str:
        """Return a backbone's network."""
        return canonical_json(self._config.backbones[wildcards.backbone].settings())

    def recipe(self, wildcards: HasBackbone) -> str:
        """Return how a backbone is pretrained."""
        return canonical_json(self._config.recipe_of(wildcards.backbone).recipe())

    def beginning(self, wildcards: HasBackbone) -> str:
        """Return what of a backbone's recipe makes its network as it is initialised."""
        return canonical_json(self._config.recipe_of(wildcards.backbone).beginning())

    def download_url(self, wildcards: HasDownload) -> str:
        """Return the URL of a download, as it is."""
        return self._publications.downloads[wildcards.download].urls[wildcards.download]

    def publication(self, wildcards: HasRun) -> str:
        """Return what makes an imported checkpoint what it is: the file's content, which part of it, and the keys that may
        be left out."""
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
        """Return how features are extracted, and of which views."""
        return canonical_json(self._config.features.extraction(self._data_sets.view_names(wildcards.data_set)))

    def views(self, wildcards: HasDataSet) -> str:
        """Return the names of a data set's training views."""
        return canonical_json(self._data_sets.view_names(wildcards.data_set))

    def heldout(self, wildcards: HasDataSet) -> str:
        """Return which training rows are held out; null of a data set that has none."""
        if self._data_sets.is_for_evaluation(wildcards.data_set):
            return canonical_json(None)
        return canonical_json(self._config.heldout.settings())

    def replicates(self, wildcards: HasArm) -> str:
        """Return the seeds of each replicate of an arm."""
        return canonical_json(self._arms.replicates(self._arms[wildcards.arm]))

    def probe(self, wildcards: HasMembers) -> str:
        """Return how the probe of an arm on a data set is trained."""
        own_grid = self._config.with_training_rows(wildcards.data_set).weight_decays
        arm = self._arms[wildcards.arm]
        return canonical_json(self._config.probe.protocol(own_grid, arm.solver, arm.reduce))

    def reweight(self, wildcards: object) -> str:
        """Return how the last layer is trained again on balanced groups."""
        return canonical_json(self._config.reweight.settings())

    def transfer_mode(self, wildcards: HasArm) -> str:
        """Return "finetune" or "direct", as it is."""
        return self._arms[wildcards.arm].transfer

    def transfer(self, wildcards: HasArm) -> str:
        """Return how an arm is fine-tuned or trained directly."""
        return canonical_json(self._config.transfer_settings(self._arms[wildcards.arm]))

    def transfer_backbone(self, wildcards: HasArm) -> str:
        """Return the backbone that a direct arm trains from nothing; weights that are fine-tuned say what they are."""
        arm = self._arms[wildcards.arm]
        settings = self._config.backbones[self._config.backbone_of(arm)].settings()
        return canonical_json(settings if arm.transfer == "direct" else None)

    def transfer_initialisation(self, wildcards: HasArm) -> str:
        """Return how that backbone begins."""
        arm = self._arms[wildcards.arm]
        start = self._config.recipe_of(self._config.backbone_of(arm)).start()
        return canonical_json(start if arm.transfer == "direct" else None)

    def counterexample(self, wildcards: object) -> str:
        """Return how the counterexample's networks are trained."""
        return canonical_json(self._config.counterexample.settings())
