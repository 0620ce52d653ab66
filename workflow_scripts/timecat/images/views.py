"""Compute the crop and flip of each sample as a pure function of (augmentation seed, data set, view, row).

The features of several checkpoints are extracted by separate jobs and concatenated row by row, as if one model had seen
one image. View v of row i must therefore have the same pixels in every process, whatever the number of workers, the
batch and the order. So the functions here have no state, and every random number is
``randomness.uniform(key, row, draw)``.

The random view is torchvision's RandomResizedCrop and RandomHorizontalFlip: the same algorithm, but different random
numbers. The centre view combines torchvision's Resize and CenterCrop in one box.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.images.transform import Transform

if TYPE_CHECKING:
    import torch

CENTER = "center"  # the view without random draws: the centre crop of evaluation

TRIES = 10  # torchvision's number of attempts before it falls back to the central crop
DRAWS_PER_TRY = 4  # area, aspect ratio, top, left
FLIP_DRAW = TRIES * DRAWS_PER_TRY


Box = tuple[int, int, int, int]  # top, left, height, width, in pixels


def view_key(augmentation_seed: int, data_set: str, view: int | str) -> int | None:
    """Return the 64-bit random key of a view of a data set, or None for ``CENTER``, which has no random draws."""
    return None if view == CENTER else randomness.key("view", augmentation_seed, data_set, view)


def random_boxes(
    key: int, rows: npt.ArrayLike, heights: npt.ArrayLike, widths: npt.ArrayLike, transform: Transform
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return crop boxes int64 [n, 4] (top, left, height, width, in pixels of the stored image) and flips bool [n].

    rows, heights, widths: integers [n]; ``rows`` are row numbers in the data set, not positions in a batch.
    """
    rows, heights, widths = (np.asarray(values).astype(np.int64) for values in (rows, heights, widths))
    boxes = _fallback_boxes(heights, widths, transform.ratio)
    open_ = np.arange(len(rows))  # positions that still have no accepted box
    log_low, log_high = np.log(transform.ratio)
    for attempt in range(TRIES):
        row, height, width = rows[open_], heights[open_], widths[open_]
        area_draw, ratio_draw, top_draw, left_draw = (
            randomness.uniform(key, row, DRAWS_PER_TRY * attempt + draw) for draw in range(DRAWS_PER_TRY)
        )
        area = height * width * _between(*transform.scale, area_draw)
        ratio = np.exp(_between(log_low, log_high, ratio_draw))
        crop_width = np.rint(np.sqrt(area * ratio)).astype(np.int64)
        crop_height = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (0 < crop_width) & (crop_width <= width) & (0 < crop_height) & (crop_height <= height)
        top = ((height - crop_height + 1) * top_draw).astype(np.int64)
        left = ((width - crop_width + 1) * left_draw).astype(np.int64)
        boxes[open_[fits]] = np.stack([top, left, crop_height, crop_width], axis=1)[fits]
        open_ = open_[~fits]
        if not len(open_):
            break
    return boxes, randomness.uniform(key, rows, FLIP_DRAW) < transform.flip


def _between(low: float, high: float, draw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return low + (high - low) * draw


def _fallback_boxes(
    heights: npt.NDArray[np.int64], widths: npt.NDArray[np.int64], ratio: tuple[float, float]
) -> npt.NDArray[np.int64]:
    """Return central boxes, int64 [n, 4], with the allowed aspect ratio nearest to each image's aspect ratio.

    They are used for images in which no random crop fitted.
    """
    low, high = min(ratio), max(ratio)
    proportion = widths / heights
    crop_heights = np.where(proportion < low, np.rint(widths / low).astype(np.int64), heights)
    crop_widths = np.where(proportion > high, np.rint(heights * high).astype(np.int64), widths)
    tops, lefts = (heights - crop_heights) // 2, (widths - crop_widths) // 2
    return np.stack([tops, lefts, crop_heights, crop_widths], axis=1)


def center_boxes(heights: npt.ArrayLike, widths: npt.ArrayLike, transform: Transform) -> npt.NDArray[np.int64]:
    """Return square centre boxes, int64 [n, 4] (top, left, height, width).

    The side of a box is center_ratio times the image's short side. The offset is torchvision's
    round((side - crop) / 2), which rounds halves to even. FFCV's offset, (side - crop) // 2, differs by one pixel for
    some images; otherwise FFCV's boxes are equal.
    """
    heights, widths = (np.asarray(values).astype(np.int64) for values in (heights, widths))
    # Rounded, because 0.29 * 100 is 28.999999999999996 and the crop should have 29 pixels.
    crops = np.maximum(np.rint(transform.center_ratio * np.minimum(heights, widths)).astype(np.int64), 1)
    tops, lefts = (np.rint((sides - crops) / 2).astype(np.int64) for sides in (heights, widths))
    return np.stack([tops, lefts, crops, crops], axis=1)


def resized_sides(height: int, width: int, transform: Transform) -> tuple[int, int]:
    """Return the (height, width) in pixels that an image has after torchvision's Resize.

    The short side becomes size / center_ratio, for example 224 / 0.875 = 256.
    """
    short = round(transform.size / transform.center_ratio)
    if height < width:
        return short, int(short * width / height)
    return int(short * height / width), short


def normalise(images: "torch.Tensor", transform: Transform) -> "torch.Tensor":
    """Normalise images uint8 [b, h, w, 3] to float32 [b, 3, h, w], (pixel / 255 - mean) / std, on the same device."""
    import torch  # imported here: boxes do not need torch, which takes seconds to import

    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=images.device).view(1, 3, 1, 1)
        for values in (transform.mean, transform.std)
    )
    pixels = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return pixels.div_(255).sub_(mean).div_(std)
