"""Extract the features of a data set's images: one pass of a frozen backbone per view."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.timecat.artifacts.files import PathLike, atomic_path
from workflow_scripts.timecat.backbones.backbone import Backbone
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import normalise
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.runtime.world import ALONE, World


@dataclass
class Extractor:
    """Extractor of features with a frozen backbone (in evaluation mode, on ``device``).

    workers: number of workers that decode images. world: processes that share the rows. at_once: number of images in
    one forward pass. It begins as the batch size of the settings and is halved when a GPU's memory is too small.
    """

    backbone: Backbone
    transform: Transform
    settings: Extraction
    device: str
    workers: int
    world: World = ALONE

    def __post_init__(self) -> None:
        self.at_once = self.settings.batch_size

    def write(
        self,
        path: PathLike,
        beton: PathLike,
        rows: Sequence[int] | np.ndarray,
        key: int | None,
        advance: Callable[[int], object] = lambda images: None,
    ) -> None:
        """Write the features of ``rows`` of a .beton file, in that order, to ``path``, a .npy file [rows, dimension].

        If several processes share the rows, all of them call this method, and each writes its ``rows[rank::size]``.
        key: key of the view (views.view_key), or None for the evaluation crop. advance: called with the number of
        images after each batch. Raise UserError if a value is not finite or does not fit the dtype, or if the disk is
        full.
        """
        dtype, (rank, size) = np.dtype(self.settings.dtype), (self.world.rank, self.world.size)
        own = np.asarray(rows)[rank::size]
        stream = batches(beton, own, self.settings.batch_size, self.transform, key, self.workers)
        try:
            with self._shared_file(path, dtype, len(rows)) as (file, start), closing(stream):
                row, done = self.backbone.dimension * dtype.itemsize, 0
                for _, images, _ in stream:
                    features = self.features(images)
                    check_range(features, dtype, path)
                    data = features.astype(dtype).data.cast("B")
                    if size == 1:
                        _write_at(file, data, start + done * row)
                    else:
                        for number in range(len(features)):
                            place = start + (rank + (done + number) * size) * row
                            _write_at(file, data[number * row : (number + 1) * row], place)
                    done += len(features)
                    advance(len(features))
                if done != len(own):
                    raise RuntimeError(f"{path}: {done} of {len(own)} rows were read")
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}): make room or use another disk") from error

    @contextmanager
    def _shared_file(self, path: PathLike, dtype: np.dtype, rows: int) -> Iterator[tuple[int, int]]:
        """Yield (file descriptor, offset of the rows) of the output file, which the leader creates."""
        if not self.world.leads:
            name, start = self.world.from_leader()
            with open(name, "r+b") as file:
                yield file.fileno(), start
            self.world.wait_for_all()
            return
        header = {"descr": dtype.str, "fortran_order": False, "shape": (rows, self.backbone.dimension)}
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            start = file.tell()
            self.world.from_leader((str(temporary), start))
            yield file.fileno(), start
            self.world.wait_for_all()

    def features(self, images: torch.Tensor) -> np.ndarray:
        """Return the features, float32 [b, dimension], of images uint8 [b, size, size, 3].

        If the GPU's memory is too small for the images of one forward pass, log it and pass half as many from then on.
        """
        done = []
        while len(images):
            now, images = images[: self.at_once], images[self.at_once :]
            try:
                done.append(self._features(now))
            except torch.OutOfMemoryError:
                if len(now) == 1:
                    raise
                images = torch.cat([now, images])
            else:
                continue
            # Not in the except clause: there the error would keep tensors of the failed pass in memory.
            self.at_once = len(now) // 2
            if self.device == "cuda":
                torch.cuda.empty_cache()
            log(f"the GPU's memory is too small for {len(now)} images per pass: continuing with {self.at_once}")
        return np.concatenate(done)

    def _features(self, images: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return (
                self.backbone(normalise(images.to(self.device, non_blocking=True), self.transform))
                .float()
                .cpu()
                .numpy()
            )


def _write_at(file: int, data: memoryview, place: int) -> None:
    """Write all of ``data`` to a file at the byte offset ``place``."""
    while data:
        written = os.pwrite(file, data, place)
        data, place = data[written:], place + written


def check_range(features: np.ndarray, dtype: np.dtype, path: PathLike) -> None:
    """Raise UserError if a feature is not finite or does not fit ``dtype``.

    path: path of the feature file, which the message names.
    """
    if not np.isfinite(features).all():
        raise UserError(
            f"{path}: a feature is not finite, so the checkpoint is broken: pretrain it again (another features.dtype "
            "does not help)"
        )
    largest = float(np.abs(features).max(initial=0))
    if largest > float(np.finfo(dtype).max):
        raise UserError(
            f"{path}: a feature of size {largest:.3g} does not fit {dtype}; set features.dtype: float32 in the config"
        )
