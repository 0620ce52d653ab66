"""What a study's stages do and leave on disk, in numbers, for `make plan`: each from how the stage does it."""

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
# What the formats add, about, in bytes: safetensors' table has a line for each tensor and a description; torch.save's
# archive has two heads for each, filled up to 64 bytes, and lists the optimizer's settings.
SAFETENSORS_TENSOR, SAFETENSORS_DESCRIPTION = 90, 700
ARCHIVE_TENSOR = 285
HEADS_TABLE = 1_100  # of one replicate's two heads
SEARCHES = (
    30  # passes over the rows that L-BFGS takes for a weight decay and fit, about (docs/benchmarks/benchmarks.md)
)


class PlannedStudy:
    """A study with its rows (RowsOf). Of a study's files, those that exist are looked at below ``rows.root``."""

    def __init__(self, study: Study, rows: RowsOf):
        self.study, self.rows = study, rows
        self._images: dict[tuple[str, str], tuple[float, int]] = {}

    def chain_name(self, source: str, backbone: str) -> str:
        """Return what names of jobs say of a chain of checkpoints: nothing of the study's own."""
        parts = [backbone] if backbone != self.study.config.backbone else []
        parts += [f"of {source}"] if source != self.study.config.source else []
        return f"{' '.join(parts)}, " if parts else ""

    # --- what it consists of ---

    def image_size(self, data_set: str) -> int:
        """Side in pixels of the images as the backbone sees them."""
        return self.study.data_sets.image_size(data_set)

    def backbone(self, name: str | None = None) -> BackboneSettings:
        """A backbone's network; without a name, the study's."""
        return self.study.config.backbones[name or self.study.config.backbone].settings()

    def recipe(self, name: str) -> Pretrain:
        """The recipe that a backbone is pretrained with."""
        return self.study.config.recipe_of(name)

    def size(self, source: str, backbone: str) -> BackboneSize:
        """Return the size of a backbone, by name, at the images of a source."""
        return backbone_size(self.backbone(backbone), self.image_size(source))

    def weight_decays(self, data_set: str) -> int:
        """Of a data set's probe."""
        return len(
            self.study.config.with_training_rows(data_set).weight_decays or self.study.config.probe.weight_decays
        )

    def rows_of(self, data_set: str, split: str) -> int:
        """The rows of a split."""
        rows = self.rows[data_set]
        return rows.train if split == "train" else rows.evaluation

    # --- images ---

    def batch_norm_images(self, source: str, backbone: str) -> int:
        """Images of a milestone's batch-norm statistics (batches.batch_norm_stream); none without batch norm."""
        if not self.size(source, backbone).norms:
            return 0
        pretrain = self.recipe(backbone)
        size: int = pretrain.batch_size
        rows = min(pretrain.batch_norm_batches * size, self.rows[source].train)
        return max(1, rows // size) * size

    def extracted_rows(self, data_set: str) -> int:
        """Rows of all feature files of one checkpoint on a data set."""
        rows = self.rows[data_set]
        return rows.evaluation + rows.heldout + len(self.study.data_sets.view_names(data_set)) * rows.train

    def transferred_images(self, arm: str, data_set: str) -> tuple[int, int]:
        """Images trained and read by an arm that is fine-tuned or direct, as in transferring."""
        found, rows = self.study.arms[arm], self.rows[data_set].of_a_replicate
        settings = self.study.config.transfer_settings(found).for_rows(rows.train)
        runs = sum(map(len, self.study.arms.replicates(found))) * len(settings.weight_decays) * settings.epochs
        trained, read = rows.train, rows.evaluation
        if len(settings.weight_decays) > 1:  # a second fit chooses among them (scoring.DataSet.needed_fits)
            trained, read = trained + rows.train - rows.heldout, read + rows.heldout
        return runs * settings.passes * trained, runs * read

    # --- linear heads ---

    def probe_operations(self, arm: str, data_set: str) -> float:
        """Multiplications and additions of an arm on a data set, in the matrix products of its probe.

        A training step of heads.StackedHeads has one forward and one back, an evaluation one. A search by L-BFGS has both
        for all rows of all views, SEARCHES times for a weight decay and fit, and the products of features with one another.
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
            # A projection of every row that is read, and the covariance of those in the first view that are not held out.
            columns, views = self._columns(arm, data_set), len(self.study.data_sets.view_names(data_set))
            passes = (
                views if self.study.arms.solver(self.study.arms[arm]) == "lbfgs" else self.study.config.probe.epochs
            )
            read = passes * (2 * rows.train - rows.heldout + evaluated)
            operations += 2.0 * columns * (dimensions * read + columns * (rows.train - rows.heldout))
        return len(self._replicates(arm)) * operations

    def evaluation_operations(self, arm: str, data_set: str) -> float:
        """Of both selected heads of each replicate, read on a data set for evaluation only."""
        rows = self.rows[data_set]
        return len(self._replicates(arm)) * 2 * 2.0 * rows.classes * self._width(arm, data_set) * rows.evaluation

    def _replicates(self, arm: str) -> list[list[int]]:
        return self.study.arms.replicates(self.study.arms[arm])

    def _width(self, arm: str, data_set: str) -> int:
        """Features of one replicate as its heads see them: side by side, or what they are reduced to."""
        return self._reduced_to(arm) or self._columns(arm, data_set)

    def _reduced_to(self, arm: str) -> int | None:
        """What features of an arm are reduced to; None where they are not."""
        reduce = self.study.arms[arm].reduce
        return None if reduce is None else reduce.dimensions

    def _columns(self, arm: str, data_set: str) -> int:
        """Features of one replicate, side by side."""
        source, backbone = self.study.chains.trained_on(self.study.arms[arm], data_set)
        return self.study.arms[arm].members * self.size(source, backbone).dimension

    # --- disk, in bytes ---

    def beton_bytes(self, data_set: str, split: str) -> float:
        """Of a split's .beton: as it is, or as it will be."""
        path = self.rows.root / self.study.paths.data_set.at(data_set=data_set, split=split).beton
        if path.exists():
            return path.stat().st_size
        workers = self.study.config.limits.workers
        return beton_bytes(self.rows_of(data_set, split), self._stored(data_set, split)[0], workers)

    def sizes_are_a_guess(self, data_set: str) -> bool:
        """Whether images that nobody has seen are taken for photographs of PHOTOGRAPH's size."""
        block, found = self.study.config.data_sets[data_set], self.rows[data_set]
        return block.is_listed and block.known_image is None and not found.images and found.origin != "sidecars"

    def pixels(self, data_set: str, split: str) -> int:
        """Of an image, before it is reduced."""
        return self._stored(data_set, split)[1]

    def _stored(self, data_set: str, split: str) -> tuple[float, int]:
        if (data_set, split) not in self._images:
            images = self.rows[data_set].images.get(split)
            whole = self.study.config.whole_of(data_set)
            self._images[data_set, split] = image_bytes(whole, images)
        return self._images[data_set, split]

    def weights_bytes(self, source: str, backbone: str) -> float:
        """Of a checkpoint's weights: parameters, the classifier's too, and batch norm's statistics and counters."""
        size = self.size(source, backbone)
        tensors = size.tensors + 2 + 3 * size.norms
        return self._model_bytes(source, backbone) + SAFETENSORS_TENSOR * tensors + SAFETENSORS_DESCRIPTION

    def state_bytes(self, source: str, backbone: str) -> float:
        """Of a training state: the model at y, and the optimizer's iterate z and second moment of each parameter."""
        size = self.size(source, backbone)
        tensors = size.tensors + 2 + 3 * size.norms + 2 * (size.tensors + 2)
        return (
            self._model_bytes(source, backbone)
            + 2 * FLOAT * self._parameters(source, backbone)
            + ARCHIVE_TENSOR * tensors
        )

    def features_bytes(self, source: str, backbone: str, data_set: str) -> float:
        """Of one checkpoint's features of a data set: all its files."""
        number = np.dtype(self.study.config.features.dtype).itemsize
        files = len(self.study.data_sets.view_names(data_set)) + (
            1 if self.study.data_sets.is_for_evaluation(data_set) else 2
        )
        features = self.extracted_rows(data_set) * self.size(source, backbone).dimension
        return features * number + files * NPY_HEADER

    def heads_bytes(self, arm: str, data_set: str) -> float:
        """Of an arm's selected heads on a data set: two for each replicate (saved_heads)."""
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
