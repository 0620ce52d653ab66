"""Count the rows of a study's data sets for `make plan`, without reading images wherever that is possible."""

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
    """Numbers of rows of a data set as the study uses it.

    train, heldout: numbers of training rows and held-out rows, 0 without a training split. origin: source of the
    numbers. images: listed image files by split, if files were counted. drawn: (train, heldout) of one draw if the
    training rows are drawn several times; then ``train`` and ``heldout`` count the rows of all draws together, as in
    the files.
    """

    train: int
    evaluation: int
    heldout: int
    classes: int
    origin: str
    images: Mapping[str, "ImageFiles"]
    drawn: tuple[int, int] | None = None

    @property
    def of_a_replicate(self) -> "Rows":
        """Numbers of rows that one replicate is trained and evaluated on."""
        if self.drawn is None:
            return self
        train, heldout = self.drawn
        return replace(self, train=train, heldout=heldout, drawn=None)


class RowsOf:
    """Numbers of rows of a study's data sets, by name. They are looked up on first use.

    given: the user's numbers by data set: (train, evaluation), (train, evaluation, classes), or (evaluation,) for a
    data set for evaluation only. root: folder that the study's paths start from.

    Sources of the numbers, first the preferred one: ``given``, sidecars of written data sets, the config, published
    numbers, files below ``root``.
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
        """Return the numbers of rows of a data set.

        If they cannot be known, raise UserError, which says how to state them.
        """
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
                f"data_sets.{name}: its numbers of rows are not known before it is written; state them, as in --rows "
                f"{name}=50000,10000,100 (training rows, evaluation rows, classes)"
            )
        return self._counted(name, block)

    def _made(self, name: str, block: AnyDataSet) -> Rows | None:
        """Return the numbers of rows of a data set from its files, or None if it has not been written."""
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
        """Return the numbers of rows that the user states for a data set (--rows)."""
        numbers = self.given[name]
        if isinstance(block, EvaluationFolder):
            if len(numbers) != 1:
                raise UserError(
                    f"--rows {name}: this data set is for evaluation only; give one number, as in {name}=10000"
                )
            return Rows(0, numbers[0], 0, self[block.probe_of].classes, "--rows", {})
        classes = numbers[2] if len(numbers) == 3 else block.number_of_classes
        if len(numbers) not in (2, 3) or classes is None:
            raise UserError(
                f"--rows {name}: give the numbers of training rows, evaluation rows and classes, as in "
                f"{name}=50000,10000,100"
            )
        rows = Rows(numbers[0], numbers[1], self._heldout(numbers[0]), classes, "--rows", {})
        return self._of_all_draws(name, rows, numbers[0] * block.number_of_draws)

    def _of_all_draws(self, name: str, rows: Rows, train: int) -> Rows:
        """Return the numbers of rows of a data set with draws.

        rows: numbers of rows of one draw. train: number of training rows of all draws together.
        """
        draws = self.study.data_sets.number_of_draws(name)
        if draws == 1:
            return rows
        heldout = min(draws * rows.heldout, train)
        return replace(rows, train=train, heldout=heldout, drawn=(rows.train, rows.heldout))

    def _sidecar(self, name: str, split: str) -> dict[str, Any] | None:
        path = self.root / self.study.paths.data_set.at(data_set=name, split=split).sidecar
        return read_json(path) if path.exists() else None

    def _heldout(self, rows: int, labels: Labels | None = None) -> int:
        """Return the number of held-out rows: exact if labels are given, else estimated from the held-out fraction."""
        settings = self.study.config.heldout
        if labels is None:
            return round(rows * settings.fraction)
        return len(heldout_rows(labels, settings.seed, settings.fraction))

    def _heldout_of(self, labels: Labels, draws: list[npt.NDArray[np.int64]]) -> tuple[int, tuple[int, int] | None]:
        """Return Rows.heldout and Rows.drawn for training rows with these labels.

        draws: row numbers of each draw, empty if there is a single draw.
        """
        if not draws:
            return self._heldout(0, labels), None
        settings = self.study.config.heldout
        found = with_heldout(draws, labels, settings.seed, settings.fraction)
        return len(heldout_of_any(found)), (len(found[0].rows), len(found[0].heldout))

    def _counted(self, name: str, block: AnyDataSet) -> Rows:
        """Return the numbers of rows of a data set by listing its image files. No image is read."""
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
                f"data_sets.{name}: its rows cannot be counted ({error}), or state them, as in --rows {example} ("
                + ("evaluation rows)" if only_evaluated else "training rows, evaluation rows, classes)")
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
    """Return the name and the numbers of rows in a text such as NAME=50000,10000 (a type for argparse)."""
    name, _, numbers = text.partition("=")
    try:
        return name, tuple(positive_numbers(numbers))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form imagenet=1281167,50000") from None


def positive_numbers(text: str) -> list[int]:
    """Return the comma-separated whole numbers greater than 0 in a text (a type for argparse)."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers greater than 0, such as 8,64,512")
    return [int(part) for part in parts]
