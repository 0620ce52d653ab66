"""Image files as pixels, read one by one when they are asked for: every mode becomes RGB, large images are reduced.

A JPEG file that needs neither is handed over as it is, so that storing it loses nothing a second time.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.settings import StorageSettings

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# What torchvision's ImageFolder takes for an image.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
KEPT_MODES = ("RGB", "L")  # of JPEG files; FFCV's decoder makes RGB of grey ones too, and knows no CMYK


class BrokenImage(UserError):
    """An image file that cannot be read, which ``broken: skip`` leaves out. reason: what is wrong, without the path."""

    def __init__(self, path: PathLike, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read as an image ({reason}): mend or remove it, or set `broken: skip` for the data set"
        )
        self.reason = reason


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file that can be stored as it is. pixels(): what Pillow makes of it, should FFCV's decoder not read it."""

    path: str
    data: bytes
    height: int  # pixels
    width: int

    def pixels(self) -> npt.NDArray[np.uint8]:
        """uint8 [height, width, 3]; BrokenImage if Pillow cannot read it either."""
        return read_image_file(self.path)


class ImageFiles:
    """A sequence of images that are read from files when they are indexed.

    Each is a uint8 array [height, width, 3], or with ``write_mode: jpg`` a Jpeg where its file needs no change. names:
    paths below root. Sides that are larger than longest_side and shortest_side of ``storage`` are reduced to them,
    by Pillow's bilinear filter as torchvision's Resize does it; nothing is enlarged. BrokenImage for a file that cannot
    be read.
    """

    def __init__(self, root: PathLike, names: list[str], storage: StorageSettings) -> None:
        self.root, self.names, self.storage = root, names, storage

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8] | Jpeg:
        path = os.path.join(self.root, self.names[row])
        if self.storage.write_mode == "jpg":
            return read_unchanged_jpeg(path, self.storage) or read_image_file(path, self.storage)
        return read_image_file(path, self.storage)


class ImageArrays:
    """The same of images that are in memory, uint8 [rows, height, width, 3]: reduced when they are indexed."""

    def __init__(self, images: npt.NDArray[np.uint8], storage: StorageSettings) -> None:
        self.images, self.storage = images, storage

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> np.ndarray:
        from PIL import Image

        return np.asarray(_reduced(Image.fromarray(self.images[row]), self.storage))


def read_image_file(path: PathLike, storage: StorageSettings | None = None) -> npt.NDArray[np.uint8]:
    """One image file, uint8 [height, width, 3]; see ImageFiles. Alpha is dropped and EXIF ignored, as torchvision does.

    storage: None for sides as they are.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except Exception as error:  # noqa: BLE001 (Pillow raises anything on damaged files)
        raise BrokenImage(path, _reason(error)) from None
    return np.asarray(image if storage is None else _reduced(image, storage))


def read_unchanged_jpeg(path: PathLike, storage: StorageSettings) -> Jpeg | None:
    """The file, if it is a JPEG of a mode and of sides that are stored as they are; its data is not decoded here."""
    from PIL import Image

    try:
        data = Path(path).read_bytes()
        with Image.open(io.BytesIO(data)) as file:
            width, height = file.size
            unchanged = file.format == "JPEG" and file.mode in KEPT_MODES
    except Exception as error:  # noqa: BLE001
        raise BrokenImage(path, _reason(error)) from None
    sides = reduced_sides(width, height, storage.longest_side, storage.shortest_side)
    return Jpeg(str(path), data, height, width) if unchanged and sides == (width, height) else None


def _reason(error: Exception) -> str:
    """What went wrong, in one line and without the path."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "of no known format"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())


def _reduced(image: "PillowImage", storage: StorageSettings) -> "PillowImage":
    """A Pillow image within the bounds of ``storage``."""
    from PIL import Image

    sides = reduced_sides(image.width, image.height, storage.longest_side, storage.shortest_side)
    return image if sides == image.size else image.resize(sides, Image.Resampling.BILINEAR)


def reduced_sides(width: int, height: int, longest: int | None, shortest: int | None) -> tuple[int, int]:
    """(width, height) in pixels after both bounds; a side is cut to a whole number as torchvision's Resize cuts it."""
    for bound, side in ((shortest, min), (longest, max)):
        if bound is not None and side(width, height) > bound:
            now = side(width, height)
            width, height = (max(1, bound * length // now) for length in (width, height))
    return width, height


def files_below(folder: PathLike) -> list[str]:
    """Paths of the image files below a folder, in torchvision's order: folder by folder, names sorted; links followed."""
    found = []
    for here, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [os.path.join(here, name) for name in sorted(names) if name.lower().endswith(EXTENSIONS)]
    return found
