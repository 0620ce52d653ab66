"""Write a .beton file in FFCV's format with supervised worker processes; after an error, leave no file.

FFCV 1.0.2's DatasetWriter waits for ever if reading a sample raises an error, if a sample has the wrong type or exceeds
a page, or if a worker is killed. It then leaves an incomplete file that can be opened, and an entry in /dev/shm. Here
every worker has a pipe to the supervisor, through which it reports an error and the row. The pipe of a worker that dies
is closed, which the supervisor notices immediately.
"""

import ctypes
import hashlib
import mmap
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import numpy as np

# Imported before FFCV, because format.py makes the import of FFCV cheap.
from workflow_scripts.timecat.artifacts.files import PathLike, atomic_path
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.image_files import BrokenImage
from workflow_scripts.timecat.images.ffcv.format import describe, read_image, usable_workers
from workflow_scripts.timecat.images.ffcv.samples import (
    DIGEST_SIZE,
    Failure,
    PageTooSmall,
    Samples,
    checked_sample,
    row_digest,
    store_sample,
)

from ffcv.fields import IntField, RGBImageField  # isort: skip
from ffcv.memory_allocator import MemoryAllocator  # isort: skip
from ffcv.writer import DatasetWriter  # isort: skip

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

SMALLEST_PAGE = 2**21  # bytes; FFCV's limits for a page, whose size must be a power of 2
LARGEST_PAGE = 2**31
CHUNK = 100  # rows that a worker takes at a time
PROGRESS_PERIOD = 0.2  # seconds; errors and dead workers are noticed immediately
WRITE_MODES = ("raw", "jpg")

# Workers are forked, so that they share the samples and the table of rows with the supervisor without a copy.
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Written:
    """Result of write_beton.

    content: content_digest of the file. broken: skipped row -> reason, in ascending order.
    """

    content: str
    broken: dict[int, str]


Progress = Callable[[int, int], object]
Allocation = tuple[int, int, int]  # row, offset in the file, bytes
Done = tuple[list[Allocation], dict[int, str]]  # allocations; skipped row -> reason


def write_beton(
    path: PathLike,
    samples: Samples,
    settings: Mapping[str, Any],
    workers: int = 1,
    progress: Progress | None = None,
    skip_broken: bool = False,
) -> Written:
    """Write ``samples`` to the .beton file ``path``, as its fields image and label.

    samples: sequence of (image, label) with ``__len__`` and ``__getitem__(row)``; the label is an integer, the image a
    uint8 array [height, width, 3] or a Jpeg, whose data is kept if FFCV's decoder can read it. settings: write_mode
    ("raw" pixels or "jpg"), max_resolution (longest side in pixels, to which larger arrays are reduced, or None),
    jpeg_quality (1 to 100) and optionally page_size (bytes; 2 MiB by default, increased if the largest sample needs
    more). workers: number of processes, which may affect the layout of the file but not its content. progress: function
    that is called from time to time with the number of started rows and of all rows. skip_broken: whether to skip rows
    whose sample raises BrokenImage; the rows after them are renumbered. Raise UserError, and leave no file, if a sample
    does not have this form, the disk is full or a worker dies.
    """
    if not len(samples):
        raise UserError(f"cannot write {path}: the data set has no samples; add at least one")
    mode = settings["write_mode"]
    if mode not in WRITE_MODES:
        raise UserError(f"cannot write {path}: write_mode is {mode!r}; use {' or '.join(WRITE_MODES)}")
    image = RGBImageField(mode, max_resolution=settings["max_resolution"], jpeg_quality=settings["jpeg_quality"])
    page_size = _page_size(settings.get("page_size", SMALLEST_PAGE))
    with atomic_path(path) as temporary:
        while True:
            writer = DatasetWriter(str(temporary), {"image": image, "label": IntField()}, page_size, num_workers=1)
            try:
                written = _write(writer, samples, usable_workers(workers), progress, skip_broken)
                describe(temporary)  # FFCV ignores an error in its last table and writes an empty one
                return written
            except PageTooSmall as error:  # rare, so restarting is cheaper than reading every sample twice
                page_size = _page_size(error.needed)
            except (Failure, UserError) as error:
                raise UserError(f"cannot write {path}: {error}") from None


def content_digest(path: PathLike, workers: int = 1) -> str:
    """Return the digest of a .beton file's content: the SHA-256 (hex) of all row digests, in row order.

    A row digest covers image and label (see row_digest). The rows are read from the file. The content digest does not
    depend on the number of writing workers or the page size, and equals ``Written.content``. workers: number of
    decoding threads, which does not affect the digest.
    """
    beton = describe(path)

    def digest_of(row: int) -> bytes:
        return row_digest(read_image(beton, row), beton.labels[row])

    with ThreadPoolExecutor(usable_workers(workers)) as pool:
        digests = [digest for chunk in _chunks(beton.rows) for digest in pool.map(digest_of, chunk)]
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _page_size(size: int) -> int:
    return max(SMALLEST_PAGE, 1 << (int(size) - 1).bit_length())


def _chunks(rows: int) -> list[range]:
    return [range(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]


class _Allocator(MemoryAllocator):
    """FFCV's allocator of space in the file, with its own errors for images larger than a page."""

    def malloc(self, size: int) -> tuple[int, np.ndarray]:
        if size > LARGEST_PAGE:
            raise Failure(
                f"the image takes {size} bytes, but the limit is {LARGEST_PAGE}; set `longest_side` to reduce it"
            )
        if size > self.page_size:
            raise PageTooSmall(size)
        return super().malloc(size)


@dataclass(frozen=True)
class _Job:
    """Data that all workers share through fork, without copying it.

    digests: uint8 [rows, DIGEST_SIZE]. supervisor: process id of the supervisor.
    """

    writer: DatasetWriter
    samples: Samples
    chunks_taken: "Synchronized[int]"
    allocator: _Allocator
    digests: np.ndarray
    skip_broken: bool
    supervisor: int


def _write(
    writer: DatasetWriter, samples: Samples, workers: int, progress: Progress | None, skip_broken: bool
) -> Written:
    """Run the workers until every row is in the file; end all of them, also after an error."""
    rows = writer.num_samples = len(samples)
    writer.prepare()  # writes the header, and makes shared memory for the table of rows
    # The workers inherit the memory, so its name is removed immediately: a crash then leaves no entry in /dev/shm.
    writer.metadata_sm.unlink()
    digests = np.frombuffer(mmap.mmap(-1, rows * DIGEST_SIZE), np.uint8).reshape(rows, DIGEST_SIZE)  # also inherited
    chunks_taken = _fork.Value(ctypes.c_uint64, 0)
    allocator = _Allocator(writer.fname, writer.data_region_start, writer.page_size)
    job = _Job(writer, samples, chunks_taken, allocator, digests, skip_broken, os.getpid())
    running: dict[Connection, BaseProcess] = {}
    allocations, broken = list[Allocation](), dict[int, str]()
    try:
        for _ in range(workers):
            receiver, sender = _fork.Pipe(duplex=False)
            worker: BaseProcess = _fork.Process(target=_work, args=(sender, job), daemon=True)
            worker.start()
            running[receiver] = worker
            sender.close()  # before the next fork, so that this end of the pipe closes when this worker dies
        while running:
            for receiver in _ready(list(running)):
                result = _result(receiver, running[receiver])
                allocations += result[0]
                broken |= result[1]
                running.pop(receiver).join()
            if progress:
                # Read without its lock, which a worker that was killed may hold for ever.
                progress(min(chunks_taken.get_obj().value * CHUNK, rows), rows)
        broken = dict(sorted(broken.items()))
        kept = np.setdiff1d(np.arange(rows), np.array(list(broken), np.int64))
        writer.finalize(_close_gaps(writer, allocations, kept, broken) if broken else allocations)
        return Written(hashlib.sha256(digests[kept].data).hexdigest(), broken)
    finally:
        for worker in running.values():
            worker.kill()
            worker.join()
        writer.metadata_sm.close()


def _ready(receivers: list[Connection]) -> list[Connection]:
    """Wait at most PROGRESS_PERIOD; return the connections that have something to read."""
    ready = multiprocessing.connection.wait(receivers, timeout=PROGRESS_PERIOD)
    return [receiver for receiver in ready if isinstance(receiver, Connection)]


def _close_gaps(
    writer: DatasetWriter, allocations: list[Allocation], kept: np.ndarray, broken: dict[int, str]
) -> list[Allocation]:
    """Remove the skipped rows from the table of rows; return the allocations with the new row numbers.

    kept: remaining rows, ascending.
    """
    if not len(kept):
        raise Failure(f"none of its images can be read (the first: {next(iter(broken.values()))}); correct them")
    table = np.frombuffer(writer.metadata_sm.buf, dtype=writer.metadata_type)
    numbers = np.zeros(len(table), np.int64)
    numbers[kept] = np.arange(len(kept))
    table[: len(kept)] = table[kept]
    table[len(kept) :] = np.zeros((), writer.metadata_type)
    writer.header["num_samples"] = len(kept)
    return [(int(numbers[row]), pointer, size) for row, pointer, size in allocations]


def _result(receiver: Connection, worker: BaseProcess) -> Done:
    """Receive a worker's result: its allocations (row, offset in the file, bytes) and its skipped rows with reasons.

    Raise the error if the worker sent one.
    """
    try:
        result = receiver.recv()
    except (EOFError, OSError):
        worker.join()
        raise Failure(
            f"a worker process ended early (exit code {worker.exitcode}; -9 often means too little memory); run the "
            "job again with more memory or fewer threads"
        ) from None
    if isinstance(result, Exception):
        raise result
    done: Done = result
    return done


def _work(sender: Connection, job: _Job) -> None:
    """Run a worker process: write chunks of rows until none are left, then send the result or the error."""
    _follow(job.supervisor)
    broken: dict[int, str] = {}
    result: Done | Exception
    try:
        # Not a with statement: after an error, it would wait for the other workers' pages before the error is reported.
        job.allocator.__enter__()
        for chunk in _take(job.chunks_taken, len(job.samples)):
            for row in chunk:
                try:
                    sample = checked_sample(job.samples, row)
                except BrokenImage as error:
                    if not job.skip_broken:
                        raise Failure(str(error)) from None
                    broken[row] = error.reason
                    continue
                stored = store_sample(sample, row, job.writer, job.allocator)
                job.digests[row] = np.frombuffer(stored, np.uint8)
        job.allocator.__exit__(None, None, None)
        result = job.allocator.allocations, broken
    except (Failure, PageTooSmall) as error:
        result = error
    except OSError as error:
        result = Failure(f"{error}; make room or choose another disk, and run the job again")
    sender.send(result)


def _follow(supervisor: int) -> None:
    """Make this worker end when its supervisor ends, and ignore Ctrl-C, which the supervisor handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _take(chunks_taken: "Synchronized[int]", rows: int) -> Iterator[range]:
    """Yield chunks of rows that no other worker has taken."""
    chunks = _chunks(rows)
    while True:
        with chunks_taken.get_lock():
            number = chunks_taken.value
            if number == len(chunks):
                return
            chunks_taken.value = number + 1
        yield chunks[number]
