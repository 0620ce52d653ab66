"""Data sets by kind: each module turns its part of the config into the samples of one split, in data set order.

A split is a ``Split``: the images (uint8 [rows, height, width, 3] or anything with ``__len__`` and ``__getitem__`` that
gives one such image), the labels, the class names and what the index says of each row.
"""

from dataclasses import dataclass, field

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

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return np.ascontiguousarray(self.images[row]), int(self.labels[row])


def read_split(settings: dict, split: str) -> Split:
    """The split ("train" or "evaluation") of the data set that ``settings`` (its block of the config) describes."""
    # Imported here: scikit-learn takes a second to import, and only digits need it.
    kind = settings["kind"]
    if kind == "cues":
        from workflow_scripts.timecat.datasets.cues import cues_split as reader
    elif kind == "digits":
        from workflow_scripts.timecat.datasets.digits import digits_split as reader
    else:
        from workflow_scripts.timecat.datasets.folders import image_folder_split as reader
    return reader(settings, split)
