"""Check the feature files of an arm's members before a probe starts, and read them as tables."""

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
    """Return a memory-mapped feature file [rows, dim].

    Raise UserError if the file is missing, damaged, or does not have ``rows`` rows.
    """
    path = Path(path)
    try:
        features: np.memmap = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise UserError(f"the features {path} are missing; run the rule extract_features for them") from None
    except (ValueError, EOFError):
        raise UserError(f"the features {path} are not a complete .npy file; delete it and extract again") from None
    if features.ndim != 2 or len(features) != rows:
        shape = " x ".join(map(str, features.shape))
        raise UserError(
            f"the features {path} are {shape}, but the data set's index has {rows} rows;"
            " delete this file and extract again from the present data set"
        )
    return features


def check_features(folders: Sequence[PathLike], files: dict[str, int]) -> None:
    """Raise UserError if a member's feature file is missing or does not match its other files. Call it before training.

    folders: folders of features, one per member. files: name -> number of rows of each file in a folder.
    """
    for folder in folders:
        widths = {name: open_features(Path(folder) / name, rows).shape[1] for name, rows in files.items()}
        for name, width in widths.items():
            if width != widths[EVALUATION]:
                raise UserError(
                    f"the features {Path(folder) / name} have dimension {width}, but {EVALUATION} in the same folder"
                    f" has {widths[EVALUATION]}: they are from different checkpoints; delete the folder and extract again"
                )


def read_features(folders: Sequence[PathLike], name: str, rows: int, chosen: np.ndarray | None = None) -> np.ndarray:
    """Read the members' features, concatenated in member order: [rows, sum of dims], in the dtype of the files.

    chosen: numbers of the rows to read (int64), or None for all rows.
    """
    files = [open_features(Path(folder) / name, rows) for folder in folders]
    return np.asarray(np.concatenate([file if chosen is None else file[chosen] for file in files], axis=1))


class Tables:
    """Feature files of one replicate's members as tables: in memory, or on disk if ``memory`` (bytes) is too small.

    folders: folders of the members, in order. files: name -> number of rows of each file, already checked. chosen: name
    of a file -> rows of the file (int64, ascending) that its table has; files that are not in it have all rows.
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
        # One view at a time is in memory. All views have the same size unless a file's dtype was changed.
        order = [max(views, key=sizes.__getitem__), HELDOUT, EVALUATION]
        kept, self._window_bytes = share_memory(memory, {name: sizes[name] for name in order})
        self._kept = {*kept, *(views if order[0] in kept else ())}
        self.dimension = sum(member.shape[1] for member in self._members(EVALUATION))

    def reduced(self, reducing: Reducing) -> Self:
        """Return a copy of these tables that applies ``reducing`` to features when it widens them to float32."""
        made = copy.copy(self)
        made._reduced, made.dimension = reducing, reducing.dimension
        return made

    def _members(self, name: str) -> list[np.memmap]:
        return [open_features(Path(folder) / name, self._files[name]) for folder in self._folders]

    def read(self, name: str) -> InMemory | OnDisk:
        """Return the table [rows, dimension] of the feature files ``name`` of all members, concatenated."""
        if name in self._kept:
            features = read_features(self._folders, name, self._files[name], self._chosen.get(name))
            return InMemory(features, self._reduced)
        return OnDisk(self._members(name), self._window_bytes, self._reduced, self._chosen.get(name))
