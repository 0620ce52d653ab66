"""The feature files that a probe reads of each member: checked before time is spent, and read as tables."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.memory import share_memory
from workflow_scripts.timecat.features.names import EVALUATION, HELDOUT
from workflow_scripts.timecat.features.reader import InMemory, OnDisk, Reducing


def open_features(path: PathLike, rows: int) -> np.memmap:
    """A feature file [rows, dim], mapped, not read. UserError when it is missing, damaged or of other rows."""
    path = Path(path)
    try:
        features: np.memmap = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise UserError(f"the features {path} are missing; run extract_features for them") from None
    except (ValueError, EOFError):
        raise UserError(f"the features {path} are not a whole .npy file; delete them and extract again") from None
    if features.ndim != 2 or len(features) != rows:
        shape = " x ".join(map(str, features.shape))
        raise UserError(
            f"the features {path} are {shape}, but the data set's index asks for {rows} rows;"
            " delete them and extract again from the data set as it is now"
        )
    return features


def check_features(folders: Sequence[PathLike], files: dict[str, int]) -> None:
    """Raise a UserError for any missing or mismatched file of any member, before time is spent on training."""
    for folder in folders:
        widths = {name: open_features(Path(folder) / name, rows).shape[1] for name, rows in files.items()}
        for name, width in widths.items():
            if width != widths[EVALUATION]:
                raise UserError(
                    f"the features {Path(folder) / name} have dimension {width}, {EVALUATION} beside them"
                    f" {widths[EVALUATION]}: they are of different checkpoints; delete the folder and extract again"
                )


def read_features(folders: Sequence[PathLike], name: str, rows: int, chosen: np.ndarray | None = None) -> np.ndarray:
    """The members' features side by side, in memory: [rows, sum of dims], in member order, as stored (float16).

    chosen: int64, the rows of the file that are read; None: all.
    """
    files = [open_features(Path(folder) / name, rows) for folder in folders]
    return np.asarray(np.concatenate([file if chosen is None else file[chosen] for file in files], axis=1))


class Tables:
    """The files of one replicate's members as tables: in memory, or on disk where ``memory`` (bytes) is too small.

    folders: the members', in order. files: the rows of each file, by name; they have been checked. chosen: int64, ascending,
    by name, those rows of a file that its table has, where these are not all.
    """

    _reduced: Reducing | None = None

    def __init__(
        self,
        folders: Sequence[PathLike],
        files: dict[str, int],
        memory: float,
        chosen: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._folders, self._files, self._chosen = folders, files, chosen or {}
        sizes = {
            name: sum(len(self._chosen.get(name, member)) * member[:1].nbytes for member in self._members(name))
            for name in files
        }
        views = [name for name in files if name not in (EVALUATION, HELDOUT)]
        # One view at a time is in memory. All are of one size, unless somebody has changed a file's dtype.
        order = [max(views, key=sizes.__getitem__), HELDOUT, EVALUATION]
        kept, self._window_bytes = share_memory(memory, {name: sizes[name] for name in order})
        self._kept = {*kept, *(views if order[0] in kept else ())}
        self.dimension = sum(member.shape[1] for member in self._members(EVALUATION))

    def reduced(self, reducing: Reducing) -> Self:
        """The same tables, whose features are reduced when they are computed with."""
        made = copy.copy(self)
        made._reduced, made.dimension = reducing, reducing.dimension
        return made

    def _members(self, name: str) -> list[np.memmap]:
        return [open_features(Path(folder) / name, self._files[name]) for folder in self._folders]

    def read(self, name: str) -> InMemory | OnDisk:
        """The table of a file, [rows, dimension]."""
        if name in self._kept:
            features = read_features(self._folders, name, self._files[name], self._chosen.get(name))
            return InMemory(features, self._reduced)
        return OnDisk(self._members(name), self._window_bytes, self._reduced, self._chosen.get(name))
