"""Resize crops as torchvision does: uint8, bilinear or bicubic, with antialiasing.

FFCV resizes only with OpenCV's INTER_AREA, which takes the nearest pixel when it enlarges: 32 px enlarged to 224 px
would show blocks. The functions here are torchvision's functions on tensors. Pillow's functions, and therefore
torchvision's pipeline on files, give results that differ by a few grey levels in a few per cent of the pixels
(docs/explanation/fidelity.md; for some crops, Pillow 13 resizes the two axes in the opposite order).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import resized_sides


def resize(image: npt.NDArray[np.uint8], height: int, width: int, interpolation: str) -> npt.NDArray[np.uint8]:
    """Resize an image uint8 [h, w, 3] to uint8 [height, width, 3].

    interpolation: "bilinear" or "bicubic".
    """
    if image.shape[:2] == (height, width):
        return image
    writable = image if image.flags.writeable else image.copy()  # torch warns if an array is read-only (a mapped file)
    # View the image as a batch of one with channels-last strides, which torch keeps in its result. Then neither the
    # image nor the result is copied into colour planes, which takes longer than resizing. (unsqueeze would hide the
    # layout from torch.)
    planes = torch.from_numpy(writable).view(1, *image.shape).permute(0, 3, 1, 2)
    resized = functional.interpolate(planes, (height, width), mode=interpolation, align_corners=False, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def random_view(image: npt.NDArray[np.uint8], box: Sequence[int], transform: Transform) -> np.ndarray:
    """Crop an image uint8 [h, w, 3] to a box and resize the crop to uint8 [size, size, 3].

    box: (top, left, height, width), in pixels.
    """
    top, left, height, width = box
    crop = np.ascontiguousarray(image[top : top + height, left : left + width])
    return resize(crop, transform.size, transform.size, transform.interpolation)


def center_view(image: npt.NDArray[np.uint8], transform: Transform) -> npt.NDArray[np.uint8]:
    """Return the centre view of an image uint8 [h, w, 3]: torchvision's Resize of the short side, then CenterCrop.

    The result is uint8 [size, size, 3]. As in torchvision, the image is resized before it is cropped. An image that is
    stored with the right short side is not resized, so the crop has exactly the stored pixels.
    """
    height, width = resized_sides(image.shape[0], image.shape[1], transform)
    resized = resize(image, height, width, transform.interpolation)
    top, left = (round((side - transform.size) / 2) for side in (height, width))
    return resized[top : top + transform.size, left : left + transform.size]
