"""Crops resized as torchvision resizes them: uint8, bilinear or bicubic, with antialias.

FFCV resizes with OpenCV's INTER_AREA alone, which takes the nearest pixel where it enlarges: 32 px to 224 px would be
blocks. The functions here are torchvision's on tensors; they differ from Pillow's, and so from torchvision's pipeline on
files, by a few grey levels on a few pixels in a hundred (docs/explanation/fidelity.md; Pillow 13 resizes some crops in another order).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import resized_sides


def resize(image: npt.NDArray[np.uint8], height: int, width: int, interpolation: str) -> npt.NDArray[np.uint8]:
    """uint8 [height, width, 3] of an image uint8 [h, w, 3]; interpolation: "bilinear" or "bicubic"."""
    if image.shape[:2] == (height, width):
        return image
    writable = image if image.flags.writeable else image.copy()  # torch warns of an image in a mapped file
    # Strides of a whole batch of one, by which torch sees that colours lie side by side: its result is laid out so too,
    # and neither is turned into planes, which takes longer than the resizing. (unsqueeze would hide it.)
    planes = torch.from_numpy(writable).view(1, *image.shape).permute(0, 3, 1, 2)
    resized = functional.interpolate(planes, (height, width), mode=interpolation, align_corners=False, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def random_view(image: npt.NDArray[np.uint8], box: Sequence[int], transform: Transform) -> np.ndarray:
    """uint8 [size, size, 3]: the box (top, left, height, width, in pixels) of an image uint8 [h, w, 3], resized."""
    top, left, height, width = box
    crop = np.ascontiguousarray(image[top : top + height, left : left + width])
    return resize(crop, transform.size, transform.size, transform.interpolation)


def center_view(image: npt.NDArray[np.uint8], transform: Transform) -> npt.NDArray[np.uint8]:
    """uint8 [size, size, 3]: torchvision's Resize (of the short side) and CenterCrop of an image uint8 [h, w, 3].

    The whole image is resized first, as torchvision does it: where it is stored at that short side already, nothing is,
    and the crop is its very pixels.
    """
    height, width = resized_sides(image.shape[0], image.shape[1], transform)
    resized = resize(image, height, width, transform.interpolation)
    top, left = (round((side - transform.size) / 2) for side in (height, width))
    return resized[top : top + transform.size, left : left + transform.size]
