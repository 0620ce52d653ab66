"""Import FFCV without its slow steps, and read the tables and images of .beton files.

FFCV 1.0.2 compiles with numba when it is imported and at every first batch (6 to 20 s of CPU time). Nothing is compiled
here: FFCV's C functions are called through ctypes, which costs microseconds per image. FFCV also reads bad JPEG data
and unfinished files as black images; here they are errors.
"""

import contextlib
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numba
import numba.typed
import numpy as np
import numpy.typing as npt
import torch

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError


@contextlib.contextmanager
def _unused(module: str, name: str) -> Iterator[None]:
    """Make ``from module import name`` give None without importing the module, unless it is already imported."""
    stand_in = types.ModuleType(module)
    setattr(stand_in, name, None)
    if sys.modules.setdefault(module, stand_in) is not stand_in:
        yield
        return
    try:
        yield
    finally:
        del sys.modules[module]


# Five names are replaced while FFCV is imported:
# - A function of distutils, which FFCV never calls: importing it loads setuptools, which takes a quarter of a second.
# - numba's typed dict: FFCV makes one with two entries, which takes 5 s to compile; a plain dict works as well.
# - Two functions that set thread counts: they would set the counts to 1, and numba would start threads, which do not
#   survive the fork in writer.py.
# - The check for a GPU: it would start CUDA before a GPU is leased. Without a GPU, FFCV makes no CUDA streams; they
#   are not needed, because batches are returned in host memory.
with (
    _unused("distutils.log", "warn"),
    mock.patch.object(numba.typed, "Dict", dict),
    mock.patch.object(numba, "set_num_threads", lambda count: None),
    mock.patch.object(torch, "set_num_threads", lambda count: None),
    mock.patch.object(torch.cuda, "is_available", lambda: False),
):
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.rgb_image import IMAGE_MODES
    from ffcv.libffcv import ctypes_imdecode
    from ffcv.loader import Loader  # noqa: F401 (imports the rest of FFCV while that is cheap)
    from ffcv.pipeline.compiler import Compiler
    from ffcv.reader import Reader
    from ffcv.types import ALLOC_TABLE_TYPE

Compiler.set_enabled(False)  # FFCV then calls the Python functions without compiling them
Compiler.set_num_threads = lambda count: None  # the Loader and its thread would set torch's thread count

JPEG = IMAGE_MODES["jpg"]
REMEDY = "remove the file and run write_dataset again"


@dataclass(frozen=True)
class Beton:
    """Tables of a complete .beton file. Each array but ``file`` is [rows], in row order."""

    path: Path
    heights: npt.NDArray[np.int64]  # pixels
    widths: npt.NDArray[np.int64]  # pixels
    labels: npt.NDArray[np.int64]
    modes: np.ndarray  # JPEG, or raw pixels
    pointers: npt.NDArray[np.int64]  # offset of the row's data in the file (bytes)
    sizes: npt.NDArray[np.int64]  # length of the row's data (bytes)
    file: npt.NDArray[np.uint8]  # [bytes], the file mapped into memory

    @property
    def rows(self) -> int:
        """Number of rows of the file."""
        return len(self.labels)


def describe(path: PathLike) -> Beton:
    """Read the tables of a .beton file with the fields image and label.

    Raise UserError if the file is absent or incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}: run write_dataset to create it")
    try:
        reader = Reader(str(path))
    except Exception as error:  # FFCV's reader checks little: it may raise anything on a file of a different format
        raise UserError(f"{path} is not a complete .beton file ({type(error).__name__}: {error}): {REMEDY}") from error
    table = reader.alloc_table[np.argsort(reader.alloc_table["sample_id"], kind="stable")]
    problem = _problem(reader, table, path.stat().st_size)
    if problem:
        raise UserError(f"{path} is not a complete .beton file ({problem}): {REMEDY}")
    images = reader.metadata["f0"]
    return Beton(
        path=path,
        heights=images["height"].astype(np.int64),
        widths=images["width"].astype(np.int64),
        labels=reader.metadata["f1"].astype(np.int64),
        modes=images["mode"].copy(),
        pointers=images["data_ptr"].astype(np.int64),
        sizes=table["size"].astype(np.int64),
        file=np.asarray(np.memmap(path, np.uint8, mode="r")),
    )


def _problem(reader: Reader, table: np.ndarray, file_size: int) -> str | None:
    """Return what is wrong with the file's tables, or None.

    A killed writer or a truncated copy leaves a file that FFCV still opens.
    """
    fields = {name: type(field) for name, field in reader.handlers.items()}
    if list(fields.items()) != [("image", RGBImageField), ("label", IntField)]:
        return f"its fields are {', '.join(fields)} instead of image and label"
    images, rows, table_start = reader.metadata["f0"], int(reader.num_samples), int(reader.header["alloc_table_ptr"])
    if rows == 0 or table_start == 0:
        return "its writer did not finish"
    if table_start + rows * ALLOC_TABLE_TYPE.itemsize != file_size:
        return f"its last table has {len(table)} of {rows} entries"
    if (table["ptr"] != images["data_ptr"]).any() or (table["ptr"] + table["size"] > table_start).any():
        return "its tables give different offsets for the same image"
    pixels = images["height"].astype(np.uint64) * images["width"].astype(np.uint64)
    if (pixels == 0).any() or ((images["mode"] != JPEG) & (table["size"] != 3 * pixels)).any():
        return "the data of an image does not have the size that its row states"
    return None


def usable_workers(workers: int) -> int:
    """Return ``workers``, limited to the number of CPUs that this process may use and at least 1."""
    return max(1, min(workers, len(os.sched_getaffinity(0))))


def decode_jpeg(beton: Beton, row: int, source: int, target: int) -> None:
    """Decode the row's JPEG data at address ``source`` into 3 * height * width bytes at address ``target``.

    Raise UserError if the data cannot be decoded.
    """
    if not _decode(source, int(beton.sizes[row]), int(beton.heights[row]), int(beton.widths[row]), target):
        raise UserError(f"{beton.path}: the JPEG data of row {row} cannot be decoded: {REMEDY}")


def _decode(source: int, length: int, height: int, width: int, target: int) -> bool:
    # libffcv can also crop (the zeros), scale (the ones) and flip, which is not used here. It returns 0 on success.
    return ctypes_imdecode(source, length, height, width, target, height, width, 0, 0, 1, 1, False, False) == 0


def jpeg_pixels(data: np.ndarray, height: int, width: int) -> np.ndarray | None:
    """Decode JPEG data uint8 [bytes] to pixels uint8 [height, width, 3]; return None if decoding fails."""
    image = np.empty((height, width, 3), np.uint8)
    return image if _decode(data.ctypes.data, len(data), height, width, image.ctypes.data) else None


def read_image(beton: Beton, row: int) -> np.ndarray:
    """Return the stored image of a row, uint8 [height, width, 3]; raise UserError if it cannot be decoded."""
    stored = beton.file[beton.pointers[row] : beton.pointers[row] + beton.sizes[row]]
    shape = (beton.heights[row], beton.widths[row], 3)
    if beton.modes[row] != JPEG:
        return stored.reshape(shape)
    image = np.empty(shape, np.uint8)
    decode_jpeg(beton, row, stored.ctypes.data, image.ctypes.data)
    return image
