"""Batches of a .beton: FFCV's Loader with a decoder of our own, in the order that is asked for, with views as pure functions.

What FFCV 1.0.2 does by itself, and what is done here instead (format.py has more of it):
- Its augmentations draw from threads' generators that nobody seeds. Here a row's crop and flip come from views.py.
- An error in its thread hangs the caller for ever, and leaving a loop early leaves the thread. Here the error is raised
  in the caller, and closing the generator ends the thread.
- It leaves out the last, partial batch, and hands over tensors that it overwrites later. Here there is neither.
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

# Before anything of FFCV, because it makes the import of FFCV cheap.
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
    """Generator of (rows int64 array [b], images uint8 tensor [b, size, size, 3], labels int64 tensor [b]).

    rows: whole numbers [n] in the wanted order, duplicates allowed; the last batch is as short as it comes. key: of
    views.view_key; None for the centre view. workers: threads that decode, which change no byte. Each batch's tensors
    are its own. Close the generator (or exhaust it) to end its threads. UserError for a file that is not whole, a row
    that does not exist (both before the first batch) or an image that cannot be decoded.
    """
    beton = describe(path)
    rows = np.asarray(rows).astype(np.int64, casting="same_kind") if len(rows) else np.empty(0, np.int64)
    outside = rows[(rows < 0) | (rows >= beton.rows)]
    if len(outside):
        raise UserError(f"{path} has rows 0 to {beton.rows - 1}, not {outside[0]}: correct the rows that are asked for")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, and must be at least 1")
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
            seed=0,  # draws nothing in this order; without it the Loader would draw from NumPy's global generator
            pipelines={"image": [_ViewDecoder(beton, transform, key, pool, workers)], "label": None},
        )
        # Not iter(loader), which would drop the last rows, and use FFCV's own class in the place of _Epoch.
        epoch = _Epoch(loader, loader.next_traversal_order())
        stack.callback(epoch.stop)
        start = 0
        for (images,) in epoch:
            batch = rows[start : start + len(images)]
            start += len(images)
            yield batch, images, torch.from_numpy(beton.labels[batch])


class _Epoch(EpochIterator):
    """FFCV's thread that makes batches ahead, and that here hands its error to the caller and can be stopped."""

    error: BaseException | None = None

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:  # noqa: BLE001
            self.error = error
            self.output_queue.put(None)

    def run_pipeline(self, *arguments: Any) -> Any:
        if self.terminate_event.is_set():
            raise StopIteration  # what FFCV's run takes for the end of the rows
        return super().run_pipeline(*arguments)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration:
            if self.error is not None:
                raise self.error from None
            raise

    def stop(self) -> None:
        """End the thread, and wait for it: at most the time of one batch."""
        self.terminate_event.set()
        while self.is_alive():
            while not self.output_queue.empty():  # or the thread would wait for room in it
                self.output_queue.get()
            self.join(timeout=0.01)


class _ViewDecoder(SimpleRGBImageDecoder):  # FFCV would put its own decoder in front of one of any other class
    """Decode, crop, resize and flip in one pass."""

    def __init__(
        self, beton: Beton, transform: Transform, key: int | None, pool: ThreadPoolExecutor, workers: int
    ) -> None:
        super().__init__()
        self.beton, self.transform, self.key, self.pool, self.workers = beton, transform, key, pool, workers

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, None]:
        shape = (self.transform.size, self.transform.size, 3)
        # No memory is asked for: FFCV would hand out views of a few buffers that it overwrites batches later.
        return replace(previous_state, jit_mode=True, shape=shape, dtype=np.dtype(np.uint8)), None

    def generate_code(self) -> Callable[..., torch.Tensor]:
        return self.decode

    def decode(self, rows: npt.NDArray[np.int64], memory: Any, metadata: Any, storage_state: Any) -> torch.Tensor:
        """uint8 tensor [b, size, size, 3] of the rows int64 [b]; the rest is what FFCV's own decoders work with."""
        beton, transform = self.beton, self.transform
        heights, widths = beton.heights[rows], beton.widths[rows]
        if self.key is None:
            boxes, flips = views.center_boxes(heights, widths, transform), np.zeros(len(rows), bool)
        else:
            boxes, flips = views.random_boxes(self.key, rows, heights, widths, transform)
        # Where there is a GPU, in memory that it can read by itself, so that a copy to it does not keep the caller waiting.
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
    """Fill images uint8 [b, size, size, 3] with views of the rows; boxes int64 [b, 4] and flips bool [b] say which."""
    size, stride = images.shape[1], images.strides[0]
    file_address, image_address = beton.file.ctypes.data, images.ctypes.data
    heights, widths, is_jpeg = beton.heights[rows], beton.widths[rows], beton.modes[rows] == JPEG
    decoded = np.empty(3 * int((heights * widths)[is_jpeg].max(initial=0)), np.uint8)
    # Plain Python numbers: an element of a NumPy array costs more to handle than a small image to copy.
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
    """The same with torchvision's interpolation; ``center``: the centre view, which has no use for the boxes."""
    for image, row, box in zip(images, rows.tolist(), boxes.tolist(), strict=True):
        stored = read_image(beton, row)
        image[:] = resizing.center_view(stored, transform) if center else resizing.random_view(stored, box, transform)
    _flip(images, flips)


def _flip(images: npt.NDArray[np.uint8], flips: npt.NDArray[np.bool_]) -> None:
    for image in (images[position] for position in np.flatnonzero(flips)):
        cv2.flip(image, 1, image)  # in place; NumPy takes ten times as long at 32 pixels, and eighty at 224
