"""One split of a data set, in memory: what the reader of each kind of data set returns."""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Split:
    """One split of a data set. ``groups`` are further columns of the index (name -> array [rows])."""

    images: np.ndarray
    labels: np.ndarray  # int64 [rows]
    class_names: list[str]
    sources: list[str]  # where each row comes from: a file, or how it was made
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple:
        """(image, label); the image as ``images`` has it, a file that is stored as it is (image_files.Jpeg) included."""
        image = self.images[row]
        return np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image, int(self.labels[row])

    def without(self, left_out) -> "Split":
        """The split less some rows. Its images are not for use: they are written by now."""
        rows = np.setdiff1d(np.arange(len(self)), np.array(list(left_out), np.int64))
        return replace(
            self,
            images=None,
            labels=self.labels[rows],
            sources=[self.sources[row] for row in rows],
            groups={name: values[rows] for name, values in self.groups.items()},
        )
