"""Slow reference for `images/ffcv/reader.py`: reads, crops, resizes and flips one image at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from tests.references.views import random_box_reference
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv.format import describe, read_image
from workflow_scripts.timecat.images.ffcv.reader import Batch
from workflow_scripts.timecat.images.transform import Transform

from ffcv.libffcv import ctypes_resize  # isort: skip (the reader makes FFCV's import cheap)


def batches_reference(
    path: PathLike, rows: Sequence[int] | np.ndarray, batch_size: int, transform: Transform, key: int | None
) -> Iterator[Batch]:
    """Yield the same batches as `reader.batches`, but read, crop, resize and flip one image at a time."""
    beton = describe(path)
    for start in range(0, len(rows), batch_size):
        batch = np.asarray(rows[start : start + batch_size], np.int64)
        images = np.empty((len(batch), transform.size, transform.size, 3), np.uint8)
        for image, row in zip(images, batch, strict=True):
            stored = read_image(beton, row)
            if key is None:
                (box,), flip = views.center_boxes(stored.shape[:1], stored.shape[1:2], transform), False
            else:
                box, flip = random_box_reference(key, row, stored.shape[0], stored.shape[1], transform)
            box = [int(side) for side in box]
            resized = _torchvision_view if transform.interpolation != "area" else _area_view
            image[:] = resized(stored, box, transform, center=key is None)
            image[:] = image[:, ::-1].copy() if flip else image
        yield batch, torch.from_numpy(images), torch.from_numpy(beton.labels[batch])


def _area_view(stored: np.ndarray, box: Sequence[int], transform: Transform, center: bool) -> npt.NDArray[np.uint8]:
    top, left, height, width = box
    crop = np.ascontiguousarray(stored[top : top + height, left : left + width])
    image = np.empty((transform.size, transform.size, 3), np.uint8)
    source, target = crop.ctypes.data, image.ctypes.data
    ctypes_resize(0, source, height, width, 0, height, 0, width, target, transform.size, transform.size)
    return image


def _torchvision_view(stored: np.ndarray, box: Sequence[int], transform: Transform, center: bool) -> np.ndarray:
    from torchvision.transforms.v2 import functional

    planes, size = torch.from_numpy(np.array(stored)).permute(2, 0, 1), [transform.size, transform.size]
    how = {"interpolation": functional.InterpolationMode(transform.interpolation), "antialias": True}
    if center:
        planes = functional.resize(planes, [round(transform.size / transform.center_ratio)], **how)
        planes = functional.center_crop(planes, size)
    else:
        planes = functional.resized_crop(planes, *box, size, **how)
    return planes.permute(1, 2, 0).numpy()
