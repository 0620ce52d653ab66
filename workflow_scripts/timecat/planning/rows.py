"""How many rows a study's data sets have, for `make plan`: known without the images wherever that is possible."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat.artifacts.files import read_json
from workflow_scripts.timecat.config.data_sets import AnyDataSet, EvaluationFolder
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.holdout import heldout_of_any, heldout_rows, with_heldout
from workflow_scripts.timecat.study.study import Study

if TYPE_CHECKING:
    from workflow_scripts.timecat.images.datasets.image_files import ImageFiles

Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Rows:
    """Rows of a data set as the study uses it, and where the figures are from. train and heldout are 0 where there is
    no training split. images: by split, the listed image files (datasets.image_files.ImageFiles), where files were
    counted. drawn: where the training rows are drawn several times, those of one draw and what is held out of them; train and
    heldout are then the rows of all draws together, as files have them."""

    train: int
    evaluation: int
    heldout: int
    classes: int
    origin: str
    images: Mapping[str, "ImageFiles"]
    drawn: tuple[int, int] | None = None

    @property
    def of_a_replicate(self) -> "Rows":
        """The rows that a replicate trains on and is evaluated with."""
        if self.drawn is None:
            return self
        train, heldout = self.drawn
        return replace(self, train=train, heldout=heldout, drawn=None)


class RowsOf:
    """The rows of a study's data sets, each found once, when it is asked for.

    given: by data set, what the user says: (train, evaluation) or (train, evaluation, classes), or (evaluation,) of one
    that is for evaluation only; it comes first. Then come the sidecars of what was made, the config, published numbers
    and the files below `root`. root: the folder that the study's paths start from.
    """

    def __init__(self, study: Study, given: Mapping[str, tuple[int, ...]] | None = None, root: str | Path = "."):
        self.study, self.given, self.root = study, given or {}, Path(root)
        for name in self.given:
            if name not in study.config.data_sets:
                raise UserError(
                    f"--rows: {name!r} is not one of the study's data sets ({', '.join(study.config.data_sets)}); "
                    "correct it"
                )
        self._found: dict[str, Rows] = {}

    def __getitem__(self, name: str) -> Rows:
        """UserError, which says how to state them, where they cannot be known."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Rows:
        block = self.study.config.data_sets[name]
        if name in self.given:
            return self._stated(name, block)
        if (made := self._made(name, block)) is not None:
            return made
        if (known := block.known_rows) is not None:
            labels = None if known.by_class is None else np.repeat(np.arange(known.classes), known.by_class)
            rows = Rows(
                known.train, known.evaluation, self._heldout(known.train, labels), known.classes, known.origin, {}
            )
            return rows if known.of_all_draws is None else self._of_all_draws(name, rows, known.of_all_draws)
        if not block.is_listed:
            raise UserError(
                f"data_sets.{name}: how many rows it has is not known before it is made; state them: --rows "
                f"{name}=50000,10000,100 (for training, evaluation; classes)"
            )
        return self._counted(name, block)

    def _made(self, name: str, block: AnyDataSet) -> Rows | None:
        """The rows of a data set that is written; None if it is not."""
        evaluation = self._sidecar(name, "evaluation")
        if evaluation is None:
            return None
        if isinstance(block, EvaluationFolder):
            return Rows(0, evaluation["rows"], 0, evaluation["classes"], "sidecars", {})
        train = self._sidecar(name, "train")
        if train is None:
            return None
        index = self.root / self.study.paths.data_set.at(data_set=name, split="train").index
        heldout, drawn = self._heldout(train["rows"]), None
        if index.exists():
            from workflow_scripts.timecat.draws import rows_of_draws
            from workflow_scripts.timecat.probing.files import read_index

            heldout, drawn = self._heldout_of(read_index(index)[1], rows_of_draws(index))
        return Rows(train["rows"], evaluation["rows"], heldout, evaluation["classes"], "sidecars", {}, drawn)

    def _stated(self, name: str, block: AnyDataSet) -> Rows:
        numbers = self.given[name]
        if isinstance(block, EvaluationFolder):
            if len(numbers) != 1:
                raise UserError(f"--rows {name}: it is for evaluation only; give one number, as in {name}=10000")
            return Rows(0, numbers[0], 0, self[block.probe_of].classes, "--rows", {})
        classes = numbers[2] if len(numbers) == 3 else block.number_of_classes
        if len(numbers) not in (2, 3) or classes is None:
            raise UserError(
                f"--rows {name}: give the rows for training and for evaluation and the number of classes, as in "
                f"{name}=50000,10000,100"
            )
        rows = Rows(numbers[0], numbers[1], self._heldout(numbers[0]), classes, "--rows", {})
        return self._of_all_draws(name, rows, numbers[0] * block.number_of_draws)

    def _of_all_draws(self, name: str, rows: Rows, train: int) -> Rows:
        """The rows of a data set, given those of one draw and the training rows of all together."""
        draws = self.study.data_sets.number_of_draws(name)
        if draws == 1:
            return rows
        heldout = min(draws * rows.heldout, train)
        return replace(rows, train=train, heldout=heldout, drawn=(rows.train, rows.heldout))

    def _sidecar(self, name: str, split: str) -> dict[str, Any] | None:
        path = self.root / self.study.paths.data_set.at(data_set=name, split=split).sidecar
        return read_json(path) if path.exists() else None

    def _heldout(self, rows: int, labels: Labels | None = None) -> int:
        """Held-out rows: exactly where the labels are known, else their share of all rows."""
        settings = self.study.config.heldout
        if labels is None:
            return round(rows * settings.fraction)
        return len(heldout_rows(labels, settings.seed, settings.fraction))

    def _heldout_of(self, labels: Labels, draws: list[npt.NDArray[np.int64]]) -> tuple[int, tuple[int, int] | None]:
        """Rows.heldout and Rows.drawn of training rows with their labels. draws: rows of each, if there are several."""
        if not draws:
            return self._heldout(0, labels), None
        settings = self.study.config.heldout
        found = with_heldout(draws, labels, settings.seed, settings.fraction)
        return len(heldout_of_any(found)), (len(found[0].rows), len(found[0].heldout))

    def _counted(self, name: str, block: AnyDataSet) -> Rows:
        """The rows of image files, as the reader of their kind lists them; no image is read."""
        from workflow_scripts.timecat.images.datasets.evaluation_folders import EvaluationFolderSettings
        from workflow_scripts.timecat.images.datasets.folders import class_folders, listed_images
        from workflow_scripts.timecat.images.datasets.image_files import ImageFiles
        from workflow_scripts.timecat.images.datasets.registry import as_settings, read_split

        block = block.in_folder(str(self.root))
        settings = {split: as_settings(block.of_split(split)) for split in ("train", "evaluation")}
        try:
            if isinstance(only := settings["evaluation"], EvaluationFolderSettings):
                folder = Path(only.root)
                paths, _ = listed_images(folder, class_folders(folder), may_lack=True)
                images = ImageFiles(".", paths, only.storage)
                return Rows(0, len(paths), 0, self[only.probe_of].classes, "counted", {"evaluation": images})
            splits = {split: read_split(told, split) for split, told in settings.items()}
        except UserError as error:
            only_evaluated = isinstance(block, EvaluationFolder)
            example = f"{name}=10000" if only_evaluated else f"{name}=50000,10000,100"
            raise UserError(
                f"data_sets.{name}: its rows are not known ({error}); or state them: --rows {example} (for "
                + ("evaluation)" if only_evaluated else "training, evaluation; classes)")
            ) from None
        labels, draws = splits["train"].labels, splits["train"].draws
        heldout, drawn = self._heldout_of(labels, [] if draws is None else [np.flatnonzero(own) for own in draws.T])
        return Rows(
            len(labels),
            len(splits["evaluation"]),
            heldout,
            len(splits["train"].class_names),
            "counted",
            {split: found.images for split, found in splits.items() if isinstance(found.images, ImageFiles)},
            drawn,
        )


# --- on the command line ---


def stated_rows(text: str) -> tuple[str, tuple[int, ...]]:
    """argparse type: NAME=numbers."""
    name, _, numbers = text.partition("=")
    try:
        return name, tuple(positive_numbers(numbers))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like imagenet=1281167,50000") from None


def positive_numbers(text: str) -> list[int]:
    """argparse type: whole numbers greater than 0, with commas between them."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers greater than 0, such as 8,64,512")
    return [int(part) for part in parts]
