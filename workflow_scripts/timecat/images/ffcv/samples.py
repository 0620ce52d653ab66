"""Check one sample of a .beton, store it in FFCV's encoding, and decode it again for the digest of the content.

Each image is decoded once here, in the same way as by every later reader. This shows whether the data of a Jpeg may be
kept, and gives the digest without a second pass over the file.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# Imported before FFCV, because format.py makes the import of FFCV cheap.
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.image_files import BrokenImage, Jpeg
from workflow_scripts.timecat.images.ffcv.format import JPEG, jpeg_pixels

from ffcv.fields import RGBImageField  # isort: skip
from ffcv.memory_allocator import MemoryAllocator  # isort: skip
from ffcv.writer import DatasetWriter, handle_sample  # isort: skip

LONGEST_SIDE = 2**16 - 1  # pixels; the file format stores 16 bits
DIGEST_SIZE = hashlib.sha256().digest_size


Image = npt.NDArray[np.uint8] | Jpeg
Sample = tuple[Image, int, npt.NDArray[np.uint8] | None]  # image, label, pixels: see checked_sample


class Samples(Protocol):
    """Sequence of samples (image, label), indexed by row."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> tuple[Image, int]: ...


class Failure(Exception):
    """Error in a sample. The message names the problem, the row and the remedy, and is printed after the file name."""


class PageTooSmall(Exception):
    """Error raised when an image does not fit into a page.

    needed: size of the image in bytes.
    """

    def __init__(self, needed: int):
        super().__init__(needed)
        self.needed = needed  # size of the image in bytes


class _KeptJpegField(RGBImageField):
    """FFCV field that stores the bytes of a JPEG file unchanged."""

    def encode(self, destination: Any, image: Jpeg, malloc: Callable[[int], tuple[int, np.ndarray]]) -> None:
        destination["mode"], destination["height"], destination["width"] = JPEG, image.height, image.width
        destination["data_ptr"], storage = malloc(len(image.data))
        storage[:] = np.frombuffer(image.data, np.uint8)


_kept_jpeg = _KeptJpegField()


def checked_sample(samples: Samples, row: int) -> Sample:
    """Read and check the sample of a row; return (image, label, pixels).

    The image is a uint8 array [height, width, 3], for which pixels is None, or a Jpeg, for which pixels are its decoded
    pixels. Raise Failure if the sample does not meet the requirements of write_beton, and BrokenImage if its file
    cannot be read.
    """
    try:
        image, label = samples[row]
        pixels = None
        if isinstance(image, Jpeg):
            pixels = jpeg_pixels(np.frombuffer(image.data, np.uint8), image.height, image.width)
            if pixels is None:  # FFCV's decoder failed; if Pillow succeeds, the image is encoded again
                image = image.pixels()
    except BrokenImage:
        raise
    except UserError as error:
        raise Failure(f"row {row}: {error}") from None
    except Exception as error:  # noqa: BLE001
        raise Failure(f"row {row}: {type(error).__name__}: {error}; correct this sample or leave it out") from None
    _check(image if pixels is None else pixels, label, row)
    return image, label, pixels


def _check(image: object, label: object, row: int) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise Failure(f"row {row}: the image is of type {kind}; it must be a NumPy array of uint8")
    if image.ndim != 3 or image.shape[2] != 3:
        raise Failure(f"row {row}: the image has shape {image.shape}; it must be RGB, [height, width, 3]")
    if not 1 <= min(image.shape) <= max(image.shape) <= LONGEST_SIDE:
        raise Failure(f"row {row}: the image has shape {image.shape}; its sides must have 1 to {LONGEST_SIDE} pixels")
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
        raise Failure(f"row {row}: the label is {label!r}; it must be an integer")


def store_sample(sample: Sample, row: int, writer: DatasetWriter, allocator: MemoryAllocator) -> bytes:
    """Write a checked sample to the worker's page and its entry to the table of rows; return the row's digest."""
    image, label, pixels = sample
    fields = writer.fields if pixels is None else writer.fields | {"image": _kept_jpeg}
    table = np.frombuffer(writer.metadata_sm.buf, dtype=writer.metadata_type)
    try:
        handle_sample((image, label), row, table.dtype.names, table, allocator, fields)
    except (PageTooSmall, OSError):
        raise
    except Exception as error:  # noqa: BLE001
        raise Failure(f"row {row}: {error}; correct this sample or leave it out") from None
    if pixels is None:
        _, _, size = allocator.allocations[-1]
        stored = allocator.page_data[allocator.page_offset - size : allocator.page_offset]
        described = table["f0"][row]
        pixels = stored_pixels(stored, int(described["height"]), int(described["width"]), described["mode"] == JPEG)
        if pixels is None:
            raise Failure(f"row {row}: the JPEG data that FFCV encoded cannot be decoded; set `write_mode: raw`")
    return row_digest(pixels, label)


def stored_pixels(stored: np.ndarray, height: int, width: int, is_jpeg: bool) -> np.ndarray | None:
    """Return the pixels, uint8 [height, width, 3], of a row's data uint8 [bytes]; None if decoding JPEG data fails."""
    return jpeg_pixels(stored, height, width) if is_jpeg else stored.reshape(height, width, 3)


def row_digest(pixels: np.ndarray, label: int) -> bytes:
    """Return the SHA-256 digest of a row's height, width, label and decoded pixels."""
    height, width = pixels.shape[:2]
    sha = hashlib.sha256(f"{height} x {width}, label {label}\n".encode())
    sha.update(np.ascontiguousarray(pixels).data)
    return sha.digest()
