"""Read the training rows of a fit, in all views of a probe, piece by piece in a fixed order."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
import torch

from workflow_scripts.timecat.features.files import Tables
from workflow_scripts.timecat.features.memory import evaluation_chunk
from workflow_scripts.timecat.features.names import training_file
from workflow_scripts.timecat.features.reader import Pieces, Table
from workflow_scripts.timecat.probing.scoring import DataSet

Piece = tuple[torch.Tensor, torch.Tensor]  # features float32 [m, D], labels int64 [m]


class TrainingRows:
    """Training rows of one fit, view after view, in the same pieces whether features are in memory or on disk.

    views: names of the views. wanted: whether the fit trains on a row, bool [rows of a view]. data: data set with the
    labels. device: torch device of the pieces.
    """

    def __init__(
        self,
        tables: Tables,
        views: Sequence[str],
        wanted: npt.NDArray[np.bool_],
        data: DataSet,
        device: torch.device | str,
    ) -> None:
        self._tables, self._views, self._device = tables, views, device
        self._order, self._labels = np.flatnonzero(wanted), torch.from_numpy(data.train_labels)
        self._size = evaluation_chunk(data.classes)
        self._table: Table | None = tables.read(training_file(views[0])) if len(views) == 1 else None
        self.dimension = tables.dimension

    def __len__(self) -> int:
        """Return the number of rows of all views together."""
        return len(self._views) * len(self._order)

    def __iter__(self) -> Iterator[Piece]:
        for view in self._views:
            table = self._table or self._tables.read(training_file(view))
            rows = len(self._order)
            pieces = Pieces(min(self._size, rows - start) for start in range(0, rows, self._size))
            with closing(table.windows(self._order)) as windows:
                for window in windows:
                    for x, numbers in pieces.of(window):
                        labels = self._labels.index_select(0, numbers)
                        yield table.widened(x, self._device), labels.to(self._device)
            del table  # a view may fill most of the memory
