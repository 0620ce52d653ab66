"""A .beton file as tables and images, and the one place where FFCV is imported.

FFCV 1.0.2 compiles with numba at its import and at every first batch (6 to 20 s of CPU time). Nothing is compiled here:
its own C functions are called through ctypes, which costs microseconds per image. It also reads bad JPEG data and
unfinished files as black images; here they are errors.
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
    """Within it, ``from module import name`` gives None and imports nothing, unless the module is there already."""
    stand_in = types.ModuleType(module)
    setattr(stand_in, name, None)
    if sys.modules.setdefault(module, stand_in) is not stand_in:
        yield
        return
    try:
        yield
    finally:
        del sys.modules[module]


# Five names mean something else while FFCV is imported:
# - A function of distutils, which FFCV never calls, is setuptools for a quarter of a second.
# - numba's typed dict, of which FFCV makes one with two entries, compiles for 5 s; a plain dict does the same.
# - The thread counts would be set to 1, and numba would start threads, which do not survive the fork in writer.
# - The question for a GPU would start CUDA before one is leased. Without a GPU FFCV makes no CUDA streams, which nobody
#   needs: batches are handed over in host memory.
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
    from ffcv.loader import Loader  # noqa: F401 (the rest of FFCV, while its import is cheap)
    from ffcv.pipeline.compiler import Compiler
    from ffcv.reader import Reader
    from ffcv.types import ALLOC_TABLE_TYPE

Compiler.set_enabled(False)  # "compiled" code is then the Python function itself
Compiler.set_num_threads = lambda count: None  # the Loader, and its thread at any time, would set torch's thread count

JPEG = IMAGE_MODES["jpg"]
REMEDY = "remove it and run write_dataset again"


@dataclass(frozen=True)
class Beton:
    """What a whole .beton says of its rows; each array is [rows], in row order."""

    path: Path
    heights: npt.NDArray[np.int64]  # pixels
    widths: npt.NDArray[np.int64]  # pixels
    labels: npt.NDArray[np.int64]
    modes: np.ndarray  # JPEG, or raw pixels
    pointers: npt.NDArray[np.int64]  # where the row's data begins in the file (bytes)
    sizes: npt.NDArray[np.int64]  # length of the row's data (bytes)
    file: npt.NDArray[np.uint8]  # [bytes], the file mapped into memory

    @property
    def rows(self) -> int:
        return len(self.labels)


def describe(path: PathLike) -> Beton:
    """Read the tables of a .beton with fields image and label; UserError if the file is absent or not whole."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}: run write_dataset to make it")
    try:
        reader = Reader(str(path))
    except Exception as error:  # FFCV's reader checks little: a file of something else fails there in any way
        raise UserError(f"{path} is not a whole .beton ({type(error).__name__}: {error}): {REMEDY}") from error
    table = reader.alloc_table[np.argsort(reader.alloc_table["sample_id"], kind="stable")]
    problem = _problem(reader, table, path.stat().st_size)
    if problem:
        raise UserError(f"{path} is not a whole .beton ({problem}): {REMEDY}")
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
    """What is wrong with the tables. A writer that was killed, or a copy that was cut, leaves a file that FFCV opens."""
    fields = {name: type(field) for name, field in reader.handlers.items()}
    if list(fields.items()) != [("image", RGBImageField), ("label", IntField)]:
        return f"its fields are {', '.join(fields)} and not an image and a label"
    images, rows, table_start = reader.metadata["f0"], int(reader.num_samples), int(reader.header["alloc_table_ptr"])
    if rows == 0 or table_start == 0:
        return "its writer did not finish"
    if table_start + rows * ALLOC_TABLE_TYPE.itemsize != file_size:
        return f"it holds {len(table)} of {rows} entries of its last table"
    if (table["ptr"] != images["data_ptr"]).any() or (table["ptr"] + table["size"] > table_start).any():
        return "its tables disagree on where the images are"
    pixels = images["height"].astype(np.uint64) * images["width"].astype(np.uint64)
    if (pixels == 0).any() or ((images["mode"] != JPEG) & (table["size"] != 3 * pixels)).any():
        return "an image's size is not what its row says"
    return None


def usable_workers(workers: int) -> int:
    """As many workers as asked for, but no more than the CPUs that this process may use, and at least one."""
    return max(1, min(workers, len(os.sched_getaffinity(0))))


def decode_jpeg(beton: Beton, row: int, source: int, target: int) -> None:
    """Decode the row's data at address source to 3 * height * width bytes at address target."""
    if not _decode(source, int(beton.sizes[row]), int(beton.heights[row]), int(beton.widths[row]), target):
        raise UserError(f"{beton.path}: the JPEG data of row {row} cannot be decoded: {REMEDY}")


def _decode(source: int, length: int, height: int, width: int, target: int) -> bool:
    # libffcv can crop (the zeros), scale (the ones) and flip as well: not asked for. It says 0 when all went well.
    return ctypes_imdecode(source, length, height, width, target, height, width, 0, 0, 1, 1, False, False) == 0


def jpeg_pixels(data: np.ndarray, height: int, width: int) -> np.ndarray | None:
    """uint8 [height, width, 3] of JPEG data (uint8 [bytes]) as every reader will see it; None if that fails at all."""
    image = np.empty((height, width, 3), np.uint8)
    return image if _decode(data.ctypes.data, len(data), height, width, image.ctypes.data) else None


def read_image(beton: Beton, row: int) -> np.ndarray:
    """The stored image of one row, uint8 [height, width, 3]; UserError if its JPEG data cannot be decoded."""
    stored = beton.file[beton.pointers[row] : beton.pointers[row] + beton.sizes[row]]
    shape = (beton.heights[row], beton.widths[row], 3)
    if beton.modes[row] != JPEG:
        return stored.reshape(shape)
    image = np.empty(shape, np.uint8)
    decode_jpeg(beton, row, stored.ctypes.data, image.ctypes.data)
    return image
