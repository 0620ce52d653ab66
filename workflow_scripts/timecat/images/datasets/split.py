"""One split of a data set, in memory: what the reader of each kind of data set returns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from workflow_scripts.timecat.images.datasets.image_files import Jpeg


class Images(Protocol):
    """Images by row: an array [rows, height, width, 3], or whatever makes or reads one when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> "npt.NDArray[np.uint8] | Jpeg": ...


@dataclass(frozen=True)
class Split:
    """One split of a data set. ``groups`` are further columns of the index (name -> array [rows])."""

    images: Images
    labels: npt.NDArray[np.int64]
    class_names: Sequence[str | None]  # by label; None: a class that has no name here (evaluation_folders)
    sources: list[str]  # where each row comes from: a file, or how it was made
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    draws: npt.NDArray[np.bool_] | None = None  # [rows, draws]: the draws that a row is in; None: all rows are one draw

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> "tuple[npt.NDArray[np.uint8] | Jpeg, int]":
        """(image, label); the image as ``images`` has it, a file that is stored as it is (image_files.Jpeg) included."""
        image = self.images[row]
        return np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image, int(self.labels[row])

    def without(self, left_out: Iterable[int]) -> "Split":
        """The split less some rows. Its images are not for use: they are written by now."""
        rows = np.setdiff1d(np.arange(len(self)), np.array(list(left_out), np.int64))
        return replace(
            self,
            images=np.empty((0, 0, 0, 3), np.uint8),
            labels=self.labels[rows],
            sources=[self.sources[row] for row in rows],
            groups={name: values[rows] for name, values in self.groups.items()},
            draws=None if self.draws is None else self.draws[rows],
        )
