"""Read rows of several members' concatenated features in any order, from memory or in windows from mapped files.

A window holds the next rows of an order in one array, with the positions of the rows in the array. A table in memory is
a single window. For a table on disk, the rows of a window are sorted by their position in the files before they are
read, and reader threads fill the next window while the caller works on the current one. `Pieces` cuts windows into
groups of batches whose sizes do not depend on the windows, so a caller's results are identical, wherever windows end.

Cost: a pass reads every row once. Each window goes through the files from front to back. A row of 2,048 float16 is 4 kB
and spans two pages, so a sparse window reads twice its bytes from the disk; the kernel's read-ahead would read 128 kB
around each row. So read-ahead is switched off, and the readers announce to the kernel what they are about to copy,
which gives the disk hundreds of requests at a time. (Measured with windows of 1/100 and 1/6 of a file on a virtual
disk, nothing cached: 59,000 to 124,000 rows/s. Without announcements: 6,500 with one thread, at most 36,000 with 16.
With the kernel's read-ahead: 12,000 to 55,000, and 6 to 25 times the bytes.) A window of a tenth of the rows or more is
nearly a sequential read. Rows in the page cache cost only a copy.
"""

import contextlib
import mmap
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from typing import Protocol

import numpy as np
import torch

from workflow_scripts.timecat.errors import UserError

READERS = 2  # threads: one copies while the other announces. Announcements fill the disk's queue, more threads do not
WINDOWS = 2  # number of windows in memory at a time: the current and the next window

_PART_BYTES = 2**20  # bytes that a thread reads at a time; small, because closing waits for such a read
_NEAR_BYTES = 2**14  # rows with smaller gaps between them are announced together with the gaps
_ANNOUNCED_BYTES = 2**17  # bytes per announcement; the kernel truncates very long ones


# (jobs that fill a window, features of the window, positions of its rows in these features)
_Reading = tuple[list[Future[None]], np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Window:
    """Next rows of an order, with their features: row ``rows[i]`` of the table is ``features[places[i]]``.

    features: [n, D]. rows, places: int64 [m].
    """

    features: np.ndarray
    rows: np.ndarray
    places: np.ndarray


class Reducing(Protocol):
    """Callable that reduces features from float32 [rows, columns] to [rows, dimension]."""

    @property
    def dimension(self) -> int: ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


class _Widened:
    """Base class of tables, which widens features to float32 and applies ``reduced`` to them unless it is None."""

    reduced: Reducing | None = None

    def widened(self, features: torch.Tensor, device: torch.device | str) -> torch.Tensor:
        """Return stored features [rows, dimension] on the device as float32 [rows, dimension or reduced dimension].

        The number of rows in a call may change the last bits of reduced features, so callers pass the output of Pieces.
        """
        wide = features.to(device).float()
        return wide if self.reduced is None else self.reduced(wide)


class InMemory(_Widened):
    """Table of features [rows, dimension] in memory, as one array."""

    def __init__(self, features: np.ndarray, reduced: Reducing | None = None) -> None:
        self._features, self.reduced = features, reduced
        self.rows, self.dimension = features.shape

    def windows(self, order: np.ndarray) -> Generator[Window, None, None]:
        """Yield one window with all rows of ``order`` (int64 [m])."""
        yield Window(self._features, order, order)


class OnDisk(_Widened):
    """Table of features on disk: the members' mapped files, [rows, d] each, concatenated in member order.

    members: mapped files (np.load(path, mmap_mode="r")). window_bytes: limit for all windows together, but a window has
    at least one row. chosen: rows of the files that the table has (int64, ascending), or None for all rows.
    """

    def __init__(
        self,
        members: list[np.memmap],
        window_bytes: float,
        reduced: Reducing | None = None,
        chosen: np.ndarray | None = None,
    ) -> None:
        self._members, self.reduced, self._chosen = members, reduced, chosen
        self._dtype = np.result_type(*members)
        self.rows = len(members[0] if chosen is None else chosen)
        self.dimension = sum(member.shape[1] for member in members)
        self._window_rows = max(1, int(window_bytes) // (WINDOWS * self.dimension * self._dtype.itemsize))

    def windows(self, order: np.ndarray) -> Generator[Window, None, None]:
        """Yield the rows of ``order`` (int64 [m]) in windows. Advancing the generator overwrites the last window.

        Close or exhaust the generator to end its threads. Raise UserError if a file is missing or has become shorter.
        (A disk error while a mapped file is read ends the process with SIGBUS.)
        """
        pieces = [order[start : start + self._window_rows] for start in range(0, len(order), self._window_rows)]
        shape = (min(self._window_rows, len(order)), self.dimension)
        buffers = [np.empty(shape, self._dtype) for _ in pieces[:WINDOWS]]
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(_open(member)) for member in self._members]
            pool = ThreadPoolExecutor(READERS, thread_name_prefix="features")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            reading = self._begin(pool, files, pieces, 0, buffers)
            for number, rows in enumerate(pieces):
                jobs, features, places = reading
                for job in jobs:
                    job.result()
                reading = self._begin(pool, files, pieces, number + 1, buffers)
                yield Window(features, rows, places)

    def _begin(
        self,
        pool: ThreadPoolExecutor,
        files: Sequence[FileIO],
        pieces: list[np.ndarray],
        number: int,
        buffers: list[np.ndarray],
    ) -> _Reading:
        """Start reading window ``number``. Return (jobs, features, positions of its rows in the features)."""
        if number >= len(pieces):
            nothing = np.empty(0, np.int64)
            return [], nothing, nothing
        rows = pieces[number]
        sorting = np.argsort(rows, kind="stable")
        places = np.empty_like(sorting)
        places[sorting] = np.arange(len(rows))
        features, ascending = buffers[number % WINDOWS][: len(rows)], rows[sorting]
        if self._chosen is not None:
            ascending = self._chosen[ascending]
        step = max(1, _PART_BYTES // (self.dimension * self._dtype.itemsize))
        parts = [slice(start, start + step) for start in range(0, len(rows), step)]
        jobs = [pool.submit(_fill, features[part], ascending[part], self._members, files) for part in parts]
        return jobs, features, places


Table = InMemory | OnDisk


class Pieces:
    """Cutter of windows into pieces of given sizes (numbers of rows), which do not depend on where windows end."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._sizes = deque(sizes)
        self._begun: list[tuple[torch.Tensor, torch.Tensor]] = []  # parts of the next piece
        self._missing = 0  # rows that the next piece still lacks

    def of(self, window: Window, wanted: np.ndarray | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield each piece that this window completes, as (stored features [size, D], rows int64 [size]) on the host.

        wanted: mask of the rows to use, bool [rows of the table], or None for all rows. The tensors are copies, which
        the caller may change.
        """
        rows, places = window.rows, window.places
        if wanted is not None:
            mine = wanted[rows]
            rows, places = rows[mine], places[mine]
        features, numbers, where = torch.from_numpy(window.features), torch.from_numpy(rows), torch.from_numpy(places)
        done = 0
        while done < len(numbers):
            self._missing = self._missing or self._sizes.popleft()
            here = slice(done, done + self._missing)
            self._begun.append((features.index_select(0, where[here]), numbers[here]))
            done += len(self._begun[-1][1])
            self._missing -= len(self._begun[-1][1])
            if not self._missing:
                begun, self._begun = self._begun, []
                if len(begun) == 1:
                    yield begun[0]
                else:
                    yield torch.cat([part for part, _ in begun]), torch.cat([part for _, part in begun])


def _open(member: np.memmap) -> FileIO:
    if member.filename is None:
        raise ValueError("features are mapped from a file without a name")
    try:
        return open(member.filename, "rb", buffering=0)
    except FileNotFoundError:
        raise UserError(f"the features {member.filename} are missing; run the rule extract_features for them") from None


def _mapping(member: np.memmap) -> mmap.mmap:
    """Return the mmap object of an array. NumPy keeps it in an attribute that its type stubs lack."""
    found: mmap.mmap = vars(member)["_mmap"]
    return found


def _fill(features: np.ndarray, rows: np.ndarray, members: Sequence[np.memmap], files: Sequence[FileIO]) -> None:
    """Read rows (int64 [n], ascending) of all members into ``features`` [n, D]."""
    first = 0
    for member, file in zip(members, files):
        _announce(member, file, rows)
        features[:, first : first + member.shape[1]] = member[rows]
        first += member.shape[1]
        _let_go(member, int(rows[0]), int(rows[-1]) + 1)


def _let_go(member: np.memmap, first: int, end: int) -> None:
    """Unmap the pages of rows first to end - 1. They stay in the page cache but no longer count as process memory."""
    length, offset = (
        member.strides[0],
        member.offset % mmap.ALLOCATIONGRANULARITY,
    )  # a mapping begins at a multiple of this
    begin = (offset + first * length) // mmap.PAGESIZE * mmap.PAGESIZE
    _mapping(member).madvise(mmap.MADV_DONTNEED, begin, offset + end * length - begin)


def _announce(member: np.memmap, file: FileIO, rows: np.ndarray) -> None:
    """Tell the kernel that only these rows (ascending) are about to be read."""
    if os.fstat(file.fileno()).st_size < member.offset + member.nbytes:  # access to missing bytes would end the process
        raise UserError(f"the feature file {member.filename} has become shorter; delete this file and extract again")
    _mapping(member).madvise(mmap.MADV_RANDOM)
    length = member.strides[0]
    starts = member.offset + rows * length
    breaks = np.flatnonzero(np.diff(starts) > length + _NEAR_BYTES) + 1
    for start, last in zip(starts[[0, *breaks]].tolist(), starts[[*(breaks - 1), -1]].tolist()):
        for begin in range(start, last + length, _ANNOUNCED_BYTES):
            count = min(_ANNOUNCED_BYTES, last + length - begin)
            os.posix_fadvise(file.fileno(), begin, count, os.POSIX_FADV_WILLNEED)
