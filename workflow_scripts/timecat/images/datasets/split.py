"""Type of one split of a data set, which the readers of all kinds of data sets return."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from workflow_scripts.timecat.images.datasets.image_files import Jpeg


class Images(Protocol):
    """Images indexed by row: an array [rows, height, width, 3], or an object that makes or reads single images."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> "npt.NDArray[np.uint8] | Jpeg": ...


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    groups: further columns of the index, name -> array [rows].
    """

    images: Images
    labels: npt.NDArray[np.int64]
    class_names: Sequence[str | None]  # by label; None if the name is unknown (see evaluation_folders)
    sources: list[str]  # origin of each row: a file, or a description of how it was made
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    draws: npt.NDArray[np.bool_] | None = None  # [rows, draws]: which draws each row is in (None: one draw)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> "tuple[npt.NDArray[np.uint8] | Jpeg, int]":
        """Return (image, label) of a row; the image may be a JPEG file that is stored unchanged (image_files.Jpeg)."""
        image = self.images[row]
        return np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image, int(self.labels[row])

    def without(self, left_out: Iterable[int]) -> "Split":
        """Return a copy without the rows ``left_out`` and without images, for use after the images are written."""
        rows = np.setdiff1d(np.arange(len(self)), np.array(list(left_out), np.int64))
        return replace(
            self,
            images=np.empty((0, 0, 0, 3), np.uint8),
            labels=self.labels[rows],
            sources=[self.sources[row] for row in rows],
            groups={name: values[rows] for name, values in self.groups.items()},
            draws=None if self.draws is None else self.draws[rows],
        )
