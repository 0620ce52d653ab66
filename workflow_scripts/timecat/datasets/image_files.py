"""Image files as pixels, read one by one when they are asked for: every mode becomes RGB, large images are reduced."""

import os
from pathlib import Path

import numpy as np

from workflow_scripts.timecat.artifacts import UserError

# What torchvision's ImageFolder takes for an image.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class ImageFiles:
    """A sequence of images, uint8 [height, width, 3] each, that are read from files when they are indexed.

    storage: the config's block; longest_side and shortest_side (pixels, or None) bound what is larger, by Pillow's
    bilinear filter as torchvision's Resize does it; nothing is enlarged. UserError for a file that cannot be read.
    """

    def __init__(self, paths, storage: dict):
        self.paths, self.storage = paths, storage

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        return read_image_file(self.paths[row], self.storage)


def read_image_file(path, storage: dict) -> np.ndarray:
    """One image file, uint8 [height, width, 3]; see ImageFiles. Alpha is dropped and EXIF ignored, as torchvision does."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"there is no image {path}: the data set has changed since it was listed, run again") from None
    except Exception as error:  # noqa: BLE001 (Pillow raises anything on damaged files)
        raise UserError(
            f"{path} cannot be read as an image ({error}): mend or remove it, or set `broken: skip` for the data set"
        ) from None
    sides = reduced_sides(*image.size, storage["longest_side"], storage["shortest_side"])
    if sides != image.size:
        image = image.resize(sides, Image.Resampling.BILINEAR)
    return np.asarray(image)


def reduced_sides(width: int, height: int, longest: int | None, shortest: int | None) -> tuple[int, int]:
    """(width, height) in pixels after both bounds; a side is cut to a whole number as torchvision's Resize cuts it."""
    for bound, side in ((shortest, min), (longest, max)):
        if bound is not None and side(width, height) > bound:
            now = side(width, height)
            width, height = (max(1, bound * length // now) for length in (width, height))
    return width, height


def files_below(folder: Path) -> list[Path]:
    """The image files below a folder, in torchvision's order: folder by folder, names sorted; links are followed."""
    found = []
    for here, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [Path(here) / name for name in sorted(names) if name.lower().endswith(EXTENSIONS)]
    return found
