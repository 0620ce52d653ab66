"""Read image files on demand: convert every mode to RGB and reduce large images.

A JPEG file that needs neither conversion is passed on unchanged, so that it is not compressed a second time.
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

# File name extensions of images in torchvision's ImageFolder.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
KEPT_MODES = ("RGB", "L")  # modes of JPEG files; FFCV's decoder converts grey files to RGB and does not support CMYK


class BrokenImage(UserError):
    """Error for an image file that cannot be read; ``broken: skip`` skips such files.

    reason: the problem, without the path.
    """

    def __init__(self, path: PathLike, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read as an image ({reason}): repair or remove it, or set `broken: skip` for the data set"
        )
        self.reason = reason


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file that can be stored unchanged."""

    path: str
    data: bytes
    height: int  # pixels
    width: int

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the pixels, uint8 [height, width, 3], decoded by Pillow; raise BrokenImage if that fails.

        This is used if FFCV's decoder cannot read the file.
        """
        return read_image_file(self.path)


class ImageFiles:
    """A sequence of images that are read from files when they are indexed.

    Each image is a uint8 array [height, width, 3], or with ``write_mode: jpg`` a Jpeg if its file needs no change.
    names: paths below root. Images larger than longest_side or shortest_side of ``storage`` are reduced to these sides,
    with Pillow's bilinear filter as in torchvision's Resize; no image is enlarged. Raise BrokenImage for a file that
    cannot be read.
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
    """A sequence of images in memory, uint8 [rows, height, width, 3], that are reduced when they are indexed.

    The limits of the sides are the same as in ImageFiles.
    """

    def __init__(self, images: npt.NDArray[np.uint8], storage: StorageSettings) -> None:
        self.images, self.storage = images, storage

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> np.ndarray:
        from PIL import Image

        return np.asarray(_reduced(Image.fromarray(self.images[row]), self.storage))


def read_image_file(path: PathLike, storage: StorageSettings | None = None) -> npt.NDArray[np.uint8]:
    """Read one image file, uint8 [height, width, 3], reduced to the limits of ``storage``.

    Alpha is dropped and EXIF ignored, as in torchvision. storage: limits as in ImageFiles, or None to keep the size.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except Exception as error:  # noqa: BLE001 (Pillow raises anything on damaged files)
        raise BrokenImage(path, _reason(error)) from None
    return np.asarray(image if storage is None else _reduced(image, storage))


def read_unchanged_jpeg(path: PathLike, storage: StorageSettings) -> Jpeg | None:
    """Return a JPEG file without decoding it, or None if its format, mode or size needs a change."""
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
    """Return the reason of an error in one line, without the path of the file."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "unknown image format"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())


def _reduced(image: "PillowImage", storage: StorageSettings) -> "PillowImage":
    """Return a Pillow image reduced to the limits of ``storage``."""
    from PIL import Image

    sides = reduced_sides(image.width, image.height, storage.longest_side, storage.shortest_side)
    return image if sides == image.size else image.resize(sides, Image.Resampling.BILINEAR)


def reduced_sides(width: int, height: int, longest: int | None, shortest: int | None) -> tuple[int, int]:
    """Return (width, height) in pixels after applying both limits, rounded down as in torchvision's Resize."""
    for bound, side in ((shortest, min), (longest, max)):
        if bound is not None and side(width, height) > bound:
            now = side(width, height)
            width, height = (max(1, bound * length // now) for length in (width, height))
    return width, height


def files_below(folder: PathLike) -> list[str]:
    """Return the paths of the image files below a folder, in torchvision's order.

    The order is folder by folder with sorted names; links are followed.
    """
    found = []
    for here, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [os.path.join(here, name) for name in sorted(names) if name.lower().endswith(EXTENSIONS)]
    return found
