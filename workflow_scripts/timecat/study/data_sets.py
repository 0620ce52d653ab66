"""Data sets of a study: views, titles in tables, transforms, and the data set whose probe is used."""

from workflow_scripts.timecat.config.data_sets import EvaluationFolder, Part
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.config.transforms import Transform
from workflow_scripts.timecat.study.wildcards import SplitKey


class DataSets:
    """The data sets of a config, by name."""

    def __init__(self, config: Config):
        self._config = config

    def view_names(self, data_set: str) -> list[str]:
        """Return the names of a data set's training views: view0, view1, ..., or center.

        Return no names for a data set for evaluation only.
        """
        block = self._config.data_sets[data_set]
        if isinstance(block, EvaluationFolder):
            return []
        views = block.views or self._config.features.views
        return list(views) if isinstance(views, list) else [f"view{number}" for number in range(views)]

    def number_of_views(self, data_set: str) -> int | str | None:
        """Return the number of training views that tables show for a data set, or "center".

        Return None for a data set for evaluation only.
        """
        if self.is_for_evaluation(data_set):
            return None
        names = self.view_names(data_set)
        return "center" if names == ["center"] else len(names)

    def number_of_draws(self, data_set: str) -> int:
        """Return how many times the training rows of a data set are drawn.

        For a data set for evaluation only, return the number for its ``probe_of``.
        """
        return self._config.with_training_rows(data_set).number_of_draws

    def transform(self, data_set: str) -> Transform:
        """Return the transform from a data set's images to inputs.

        For a data set for evaluation only, return the transform of its ``probe_of``.
        """
        return self._config.with_training_rows(data_set).transform

    def image_size(self, data_set: str) -> int:
        """Return the width and height, in pixels, of a data set's images after the transform."""
        return self.transform(data_set).size

    def title(self, data_set: str) -> str:
        """Return the name of a data set in tables and figures."""
        return self._config.data_sets[data_set].title or data_set

    def is_for_evaluation(self, data_set: str) -> bool:
        """Return whether a data set has no training rows, so that another data set's probe is evaluated on it."""
        return isinstance(self._config.data_sets[data_set], EvaluationFolder)

    def probed(self, data_set: str) -> str:
        """Return the name of the data set whose probe is evaluated on ``data_set``: its ``probe_of``, else itself."""
        block = self._config.data_sets[data_set]
        return block.probe_of if isinstance(block, EvaluationFolder) else data_set

    def seen_first(self, source: str, published: bool) -> str:
        """Return the data set whose training images give the batch-norm statistics of an untrained network.

        Return the source, unless the networks are published and the source is not a target (then its images may not be
        available). In that case, return the first target with training rows.
        """
        if not published or source in self._config.targets:
            return source
        trainable = [name for name in self._config.targets if not self.is_for_evaluation(name)]
        return trainable[0] if trainable else source

    def numbered_by(self, data_set: str, split: str) -> SplitKey | None:
        """Return the split whose class numbers a split uses, or None if it defines its class numbers itself.

        A folder for evaluation only uses the class numbers of the data set whose probe is evaluated on it. The
        evaluation split of a data set of `kind: part` uses the class numbers of its training split.
        """
        block = self._config.data_sets[data_set]
        if isinstance(block, EvaluationFolder):
            return SplitKey(block.probe_of, "evaluation")
        if isinstance(block, Part) and split == "evaluation":
            return SplitKey(data_set, "train")
        return None
