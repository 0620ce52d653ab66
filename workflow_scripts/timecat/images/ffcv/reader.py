"""Read batches of a .beton in any order, with views as pure functions: FFCV's Loader with a custom decoder.

Differences from FFCV 1.0.2 (format.py lists more):
- FFCV's augmentations draw from unseeded generators of its threads. Here a row's crop and flip come from views.py.
- In FFCV, an error in its thread hangs the caller for ever, and leaving a loop early leaves the thread running. Here
  the error is raised in the caller, and closing the generator ends the thread.
- FFCV drops the last, partial batch, and later overwrites the tensors that it returned. Here the last batch is
  returned, and no tensor is overwritten.
"""

import contextlib
import ctypes
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError

# Imported before FFCV, because format.py makes the import of FFCV cheap.
from workflow_scripts.timecat.images import resizing, views
from workflow_scripts.timecat.images.ffcv.format import JPEG, Beton, decode_jpeg, describe, read_image, usable_workers
from workflow_scripts.timecat.images.transform import Transform

from ffcv.fields.rgb_image import SimpleRGBImageDecoder  # isort: skip
from ffcv.libffcv import ctypes_resize  # isort: skip
from ffcv.loader import Loader, OrderOption  # isort: skip
from ffcv.loader.epoch_iterator import EpochIterator  # isort: skip


Batch = tuple[npt.NDArray[np.int64], torch.Tensor, torch.Tensor]  # rows, images, labels


def batches(
    path: PathLike,
    rows: Sequence[int] | np.ndarray,
    batch_size: int,
    transform: Transform,
    key: int | None,
    workers: int = 1,
) -> Generator[Batch, None, None]:
    """Return a generator of batches (rows, images, labels).

    A batch is: rows int64 array [b], images uint8 tensor [b, size, size, 3], labels int64 tensor [b].

    rows: integers [n] in the order in which to read them, duplicates allowed; the last batch may be shorter. key:
    result of views.view_key, or None for the centre view. workers: number of decoding threads, which does not affect
    the result. The tensors of a batch are never overwritten. Close the generator (or exhaust it) to end its threads.
    Raise UserError for an incomplete file or a row that does not exist (both before the first batch), or for an image
    that cannot be decoded.
    """
    beton = describe(path)
    rows = np.asarray(rows).astype(np.int64, casting="same_kind") if len(rows) else np.empty(0, np.int64)
    outside = rows[(rows < 0) | (rows >= beton.rows)]
    if len(outside):
        raise UserError(
            f"{path} has rows 0 to {beton.rows - 1}, but row {outside[0]} was requested: correct the requested rows"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, but must be at least 1")
    return _generate(beton, rows, batch_size, transform, key, usable_workers(workers))


def _generate(
    beton: Beton, rows: np.ndarray, batch_size: int, transform: Transform, key: int | None, workers: int
) -> Generator[Batch, None, None]:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        loader = Loader(
            str(beton.path),
            batch_size=batch_size,
            num_workers=1,
            order=OrderOption.SEQUENTIAL,
            indices=rows,
            seed=0,  # unused in this order, but without a seed the Loader draws from NumPy's global generator
            pipelines={"image": [_ViewDecoder(beton, transform, key, pool, workers)], "label": None},
        )
        # iter(loader) would drop the last rows, and use FFCV's class instead of _Epoch.
        epoch = _Epoch(loader, loader.next_traversal_order())
        stack.callback(epoch.stop)
        start = 0
        for (images,) in epoch:
            batch = rows[start : start + len(images)]
            start += len(images)
            yield batch, images, torch.from_numpy(beton.labels[batch])


class _Epoch(EpochIterator):
    """FFCV's thread that prepares batches in advance. Here its error is raised in the caller, and it can be stopped."""

    error: BaseException | None = None

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:  # noqa: BLE001
            self.error = error
            self.output_queue.put(None)

    def run_pipeline(self, *arguments: Any) -> Any:
        if self.terminate_event.is_set():
            raise StopIteration  # FFCV's run() then stops as if there were no more rows
        return super().run_pipeline(*arguments)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration:
            if self.error is not None:
                raise self.error from None
            raise

    def stop(self) -> None:
        """End the thread and wait for it, at most for the time of one batch."""
        self.terminate_event.set()
        while self.is_alive():
            while not self.output_queue.empty():  # else the thread would wait for room in the queue
                self.output_queue.get()
            self.join(timeout=0.01)


class _ViewDecoder(SimpleRGBImageDecoder):  # a subclass, because FFCV would insert its decoder before any other class
    """FFCV decoder that decodes, crops, resizes and flips images in one pass."""

    def __init__(
        self, beton: Beton, transform: Transform, key: int | None, pool: ThreadPoolExecutor, workers: int
    ) -> None:
        super().__init__()
        self.beton, self.transform, self.key, self.pool, self.workers = beton, transform, key, pool, workers

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, None]:
        shape = (self.transform.size, self.transform.size, 3)
        # No memory is requested: FFCV would return views of a few buffers that it overwrites some batches later.
        return replace(previous_state, jit_mode=True, shape=shape, dtype=np.dtype(np.uint8)), None

    def generate_code(self) -> Callable[..., torch.Tensor]:
        return self.decode

    def decode(self, rows: npt.NDArray[np.int64], memory: Any, metadata: Any, storage_state: Any) -> torch.Tensor:
        """Return the views, uint8 tensor [b, size, size, 3], of the rows int64 [b].

        FFCV requires the arguments memory, metadata and storage_state, which are not used here.
        """
        beton, transform = self.beton, self.transform
        heights, widths = beton.heights[rows], beton.widths[rows]
        if self.key is None:
            boxes, flips = views.center_boxes(heights, widths, transform), np.zeros(len(rows), bool)
        else:
            boxes, flips = views.random_boxes(self.key, rows, heights, widths, transform)
        # With a GPU, the batch is in pinned memory, so that a copy to the GPU does not block the caller.
        pinned = torch.cuda.is_initialized()
        images = torch.empty((len(rows), transform.size, transform.size, 3), dtype=torch.uint8, pin_memory=pinned)
        columns = (rows, boxes, flips, images.numpy())
        parts = zip(*(np.array_split(column, self.workers) for column in columns), strict=True)
        if transform.interpolation == "area":
            decode = partial(_decode_rows, beton)
        else:
            decode = partial(_decode_and_resize, beton, transform, self.key is None)
        for job in [self.pool.submit(decode, *part) for part in parts]:
            job.result()
        return images


def _decode_rows(
    beton: Beton, rows: np.ndarray, boxes: np.ndarray, flips: np.ndarray, images: npt.NDArray[np.uint8]
) -> None:
    """Fill ``images``, uint8 [b, size, size, 3], with the rows' views.

    The views are resized by FFCV ("area"). boxes: crop of each row, int64 [b, 4]. flips: bool [b].
    """
    size, stride = images.shape[1], images.strides[0]
    file_address, image_address = beton.file.ctypes.data, images.ctypes.data
    heights, widths, is_jpeg = beton.heights[rows], beton.widths[rows], beton.modes[rows] == JPEG
    decoded = np.empty(3 * int((heights * widths)[is_jpeg].max(initial=0)), np.uint8)
    # Plain Python numbers, because handling an element of a NumPy array costs more than copying a small image.
    columns = (rows, heights, widths, is_jpeg, beton.pointers[rows], boxes)
    for position, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        row, height, width, jpeg, pointer, (top, left, crop_height, crop_width) = values
        source, target = file_address + pointer, image_address + position * stride
        as_is = height == width == crop_height == crop_width == size
        if jpeg:
            pixels = target if as_is else decoded.ctypes.data
            decode_jpeg(beton, row, source, pixels)
            source = pixels
        elif as_is:
            ctypes.memmove(target, source, 3 * size * size)
        if not as_is:
            bottom, right = top + crop_height, left + crop_width
            ctypes_resize(0, source, height, width, top, bottom, left, right, target, size, size)
    _flip(images, flips)


def _decode_and_resize(
    beton: Beton,
    transform: Transform,
    center: bool,
    rows: np.ndarray,
    boxes: np.ndarray,
    flips: np.ndarray,
    images: npt.NDArray[np.uint8],
) -> None:
    """Fill ``images``, uint8 [b, size, size, 3], with the rows' views, resized by torchvision's interpolation.

    boxes, flips: see _decode_rows. center: whether to make the centre view, which ignores the boxes.
    """
    for image, row, box in zip(images, rows.tolist(), boxes.tolist(), strict=True):
        stored = read_image(beton, row)
        image[:] = resizing.center_view(stored, transform) if center else resizing.random_view(stored, box, transform)
    _flip(images, flips)


def _flip(images: npt.NDArray[np.uint8], flips: npt.NDArray[np.bool_]) -> None:
    for image in (images[position] for position in np.flatnonzero(flips)):
        cv2.flip(image, 1, image)  # in place; NumPy takes 10 times as long at 32 pixels, and 80 times at 224
