"""Slow reference for `images/views.py`: crop and flip of one sample, computed as in torchvision."""

import math

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import DRAWS_PER_TRY, FLIP_DRAW, Box


def random_box_reference(key: int, row: int, height: int, width: int, transform: Transform) -> tuple[Box, bool]:
    """Return the crop box (top, left, height, width) and the flip of one sample, computed as in torchvision.

    random_boxes must return the same values.
    """

    def draw(low: float, high: float, number: int) -> float:
        return low + (high - low) * float(randomness.uniform(key, row, number))

    flip = draw(0, 1, FLIP_DRAW) < transform.flip
    log_low, log_high = (math.log(bound) for bound in transform.ratio)
    for first in range(0, FLIP_DRAW, DRAWS_PER_TRY):
        target_area = height * width * draw(*transform.scale, first)
        aspect_ratio = math.exp(draw(log_low, log_high, first + 1))
        w = round(math.sqrt(target_area * aspect_ratio))
        h = round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return (int(draw(0, height - h + 1, first + 2)), int(draw(0, width - w + 1, first + 3)), h, w), flip
    if width / height < min(transform.ratio):
        w = width
        h = round(w / min(transform.ratio))
    elif width / height > max(transform.ratio):
        h = height
        w = round(h * max(transform.ratio))
    else:
        w, h = width, height
    return ((height - h) // 2, (width - w) // 2, h, w), flip
