"""Count the work of a study's stages and the bytes that they write, for `make plan`."""

import numpy as np

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.backbones.sizes import BackboneSize, backbone_size
from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.planning.images import beton_bytes, image_bytes
from workflow_scripts.timecat.planning.rows import RowsOf
from workflow_scripts.timecat.study.study import Study

FLOAT = 4  # bytes
COUNTER = 8  # bytes of batch norm's count of batches
NPY_HEADER = 128  # bytes
# Approximate bytes that the file formats add. The header of safetensors has a line for each tensor and a description;
# torch.save's archive has two headers per tensor, padded to 64 bytes, and lists the optimizer's settings.
SAFETENSORS_TENSOR, SAFETENSORS_DESCRIPTION = 90, 700
ARCHIVE_TENSOR = 285
HEADS_TABLE = 1_100  # for one replicate's two heads
SEARCHES = (
    30  # approximate passes over the rows that L-BFGS takes per weight decay and fit (docs/benchmarks/benchmarks.md)
)


class PlannedStudy:
    """A study and the numbers of rows of its data sets.

    If files of the study exist below ``rows.root``, their sizes are used.
    """

    def __init__(self, study: Study, rows: RowsOf):
        self.study, self.rows = study, rows
        self._images: dict[tuple[str, str], tuple[float, int]] = {}

    def chain_name(self, source: str, backbone: str) -> str:
        """Return the part of a job's name that names its chain of checkpoints.

        Return "" for the default source and backbone.
        """
        parts = [backbone] if backbone != self.study.config.backbone else []
        parts += [f"of {source}"] if source != self.study.config.source else []
        return f"{' '.join(parts)}, " if parts else ""

    # --- parts of the study ---

    def image_size(self, data_set: str) -> int:
        """Return the width and height, in pixels, of a data set's images after the transform."""
        return self.study.data_sets.image_size(data_set)

    def backbone(self, name: str | None = None) -> BackboneSettings:
        """Return the settings of a backbone's network, given by name (None: the study's default backbone)."""
        return self.study.config.backbones[name or self.study.config.backbone].settings()

    def recipe(self, name: str) -> Pretrain:
        """Return the recipe (block ``pretrain``) that a backbone is pretrained with."""
        return self.study.config.recipe_of(name)

    def size(self, source: str, backbone: str) -> BackboneSize:
        """Return the size of a backbone, given by name, at the image size of a source."""
        return backbone_size(self.backbone(backbone), self.image_size(source))

    def weight_decays(self, data_set: str) -> int:
        """Return the number of weight decays of a data set's probe."""
        return len(
            self.study.config.with_training_rows(data_set).weight_decays or self.study.config.probe.weight_decays
        )

    def rows_of(self, data_set: str, split: str) -> int:
        """Return the number of rows of a split: "train" or "evaluation"."""
        rows = self.rows[data_set]
        return rows.train if split == "train" else rows.evaluation

    # --- images ---

    def batch_norm_images(self, source: str, backbone: str) -> int:
        """Return the number of images from which a milestone's batch-norm statistics are computed.

        Return 0 if the backbone has no batch norm. See batches.batch_norm_stream.
        """
        if not self.size(source, backbone).norms:
            return 0
        pretrain = self.recipe(backbone)
        size: int = pretrain.batch_size
        rows = min(pretrain.batch_norm_batches * size, self.rows[source].train)
        return max(1, rows // size) * size

    def extracted_rows(self, data_set: str) -> int:
        """Return the number of rows of all feature files of one checkpoint on a data set."""
        rows = self.rows[data_set]
        return rows.evaluation + rows.heldout + len(self.study.data_sets.view_names(data_set)) * rows.train

    def transferred_images(self, arm: str, data_set: str) -> tuple[int, int]:
        """Return the numbers of images that a fine-tuned or direct arm trains on and that it reads for evaluation."""
        found, rows = self.study.arms[arm], self.rows[data_set].of_a_replicate
        settings = self.study.config.transfer_settings(found).for_rows(rows.train)
        runs = sum(map(len, self.study.arms.replicates(found))) * len(settings.weight_decays) * settings.epochs
        trained, read = rows.train, rows.evaluation
        if len(settings.weight_decays) > 1:  # a second fit chooses among them (scoring.DataSet.needed_fits)
            trained, read = trained + rows.train - rows.heldout, read + rows.heldout
        return runs * settings.passes * trained, runs * read

    # --- linear heads ---

    def probe_operations(self, arm: str, data_set: str) -> float:
        """Return the multiplications and additions in the matrix products of an arm's probe on a data set.

        A training step of heads.StackedHeads has a forward and a backward product, an evaluation only a forward
        product. L-BFGS computes both products for all rows of all views, SEARCHES times per weight decay and fit, and
        the covariance of the features.
        """
        rows, width = self.rows[data_set].of_a_replicate, self._width(arm, data_set)
        trained, evaluated = 2 * rows.train - rows.heldout, rows.evaluation + rows.heldout
        of_a_row = 2 * self.weight_decays(data_set) * rows.classes * width
        if self.study.arms.solver(self.study.arms[arm]) == "lbfgs":
            trained *= len(self.study.data_sets.view_names(data_set))
            operations = of_a_row * ((2.0 * SEARCHES + 1) * trained + evaluated) + 2.0 * trained * width**2
        else:
            operations = self.study.config.probe.epochs * of_a_row * (2.0 * trained + evaluated)
        if (dimensions := self._reduced_to(arm)) is not None:
            # Every row that is read is projected. The covariance is computed from the rows of the first view that are
            # not held out.
            columns, views = self._columns(arm, data_set), len(self.study.data_sets.view_names(data_set))
            passes = (
                views if self.study.arms.solver(self.study.arms[arm]) == "lbfgs" else self.study.config.probe.epochs
            )
            read = passes * (2 * rows.train - rows.heldout + evaluated)
            operations += 2.0 * columns * (dimensions * read + columns * (rows.train - rows.heldout))
        return len(self._replicates(arm)) * operations

    def evaluation_operations(self, arm: str, data_set: str) -> float:
        """Return the multiplications and additions of an arm's selected heads on a data set for evaluation only."""
        rows = self.rows[data_set]
        return len(self._replicates(arm)) * 2 * 2.0 * rows.classes * self._width(arm, data_set) * rows.evaluation

    def _replicates(self, arm: str) -> list[list[int]]:
        return self.study.arms.replicates(self.study.arms[arm])

    def _width(self, arm: str, data_set: str) -> int:
        """Return the number of input features of a replicate's heads: all concatenated features, or reduced ones."""
        return self._reduced_to(arm) or self._columns(arm, data_set)

    def _reduced_to(self, arm: str) -> int | None:
        """Return the number of dimensions that an arm's features are reduced to, or None if they are not reduced."""
        reduce = self.study.arms[arm].reduce
        return None if reduce is None else reduce.dimensions

    def _columns(self, arm: str, data_set: str) -> int:
        """Return the number of concatenated features of one replicate, before reduction."""
        source, backbone = self.study.chains.trained_on(self.study.arms[arm], data_set)
        return self.study.arms[arm].members * self.size(source, backbone).dimension

    # --- disk, in bytes ---

    def beton_bytes(self, data_set: str, split: str) -> float:
        """Return the bytes of a split's .beton file: its real size if it exists, else an estimate."""
        path = self.rows.root / self.study.paths.data_set.at(data_set=data_set, split=split).beton
        if path.exists():
            return path.stat().st_size
        workers = self.study.config.limits.workers
        return beton_bytes(self.rows_of(data_set, split), self._stored(data_set, split)[0], workers)

    def sizes_are_a_guess(self, data_set: str) -> bool:
        """Return whether the size of a data set's images is unknown, so that PHOTOGRAPH is assumed."""
        block, found = self.study.config.data_sets[data_set], self.rows[data_set]
        return block.is_listed and block.known_image is None and not found.images and found.origin != "sidecars"

    def pixels(self, data_set: str, split: str) -> int:
        """Return the mean number of pixels of a split's images before they are resized."""
        return self._stored(data_set, split)[1]

    def _stored(self, data_set: str, split: str) -> tuple[float, int]:
        if (data_set, split) not in self._images:
            images = self.rows[data_set].images.get(split)
            whole = self.study.config.whole_of(data_set)
            self._images[data_set, split] = image_bytes(whole, images)
        return self._images[data_set, split]

    def weights_bytes(self, source: str, backbone: str) -> float:
        """Return the bytes of a checkpoint's weights: all parameters, and batch norm's statistics and counters."""
        size = self.size(source, backbone)
        tensors = size.tensors + 2 + 3 * size.norms
        return self._model_bytes(source, backbone) + SAFETENSORS_TENSOR * tensors + SAFETENSORS_DESCRIPTION

    def state_bytes(self, source: str, backbone: str) -> float:
        """Return the bytes of a training state: the model at y, and iterate z and second moment of each parameter."""
        size = self.size(source, backbone)
        tensors = size.tensors + 2 + 3 * size.norms + 2 * (size.tensors + 2)
        return (
            self._model_bytes(source, backbone)
            + 2 * FLOAT * self._parameters(source, backbone)
            + ARCHIVE_TENSOR * tensors
        )

    def features_bytes(self, source: str, backbone: str, data_set: str) -> float:
        """Return the bytes of all feature files of one checkpoint on a data set."""
        number = np.dtype(self.study.config.features.dtype).itemsize
        files = len(self.study.data_sets.view_names(data_set)) + (
            1 if self.study.data_sets.is_for_evaluation(data_set) else 2
        )
        features = self.extracted_rows(data_set) * self.size(source, backbone).dimension
        return features * number + files * NPY_HEADER

    def heads_bytes(self, arm: str, data_set: str) -> float:
        """Return the bytes of an arm's selected heads on a data set: two heads per replicate (saved_heads)."""
        width, classes = self._width(arm, data_set), self.rows[data_set].classes
        batch_norm, reduced = self.study.config.probe.batch_norm, self._reduced_to(arm) is not None
        if reduced and self.study.arms.solver(self.study.arms[arm]) == "lbfgs":
            batch_norm = False  # columns are standardised before they are reduced
        numbers = classes * (width + 1) + (4 * width if batch_norm else 0)
        projection = (width + 2) * self._columns(arm, data_set) if reduced else 0
        return len(self._replicates(arm)) * (FLOAT * (2 * numbers + projection) + HEADS_TABLE)

    def _parameters(self, source: str, backbone: str) -> int:
        size = self.size(source, backbone)
        return size.parameters + (size.dimension + 1) * self.rows[source].classes

    def _model_bytes(self, source: str, backbone: str) -> float:
        size = self.size(source, backbone)
        return FLOAT * (self._parameters(source, backbone) + size.statistics) + COUNTER * size.norms
