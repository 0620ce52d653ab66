"""Settings of the transform from a stored image to a network's input.

The config imports this module, so it imports neither NumPy nor torch, which would slow down every parse.
"""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Interpolation = Literal["area", "bilinear", "bicubic"]


@settings
class Transform:
    """Settings of the transform from a stored image to a network's input.

    size: side of the square output (pixels). scale: lowest and highest share of the image's area in a random crop.
    ratio: lowest and highest width/height of a random crop. flip: probability of a horizontal flip. center_ratio: side
    of the centre crop divided by the image's short side (224/256 = 0.875). interpolation: "area" (OpenCV's INTER_AREA,
    by FFCV), "bilinear" or "bicubic" (resizing.py). mean, std: one value per channel (red, green, blue), for pixels in
    0..1.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip: float
    center_ratio: float
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
