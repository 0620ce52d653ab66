"""Writing a .beton, whole or not at all: FFCV's encoding and file format, under a supervisor of our own.

FFCV 1.0.2's DatasetWriter waits for ever once a sample raises, has the wrong type or exceeds a page, or once a worker is
killed, and it leaves a file that opens, and an entry in /dev/shm. Here every worker holds a pipe to the supervisor: it
says through it what went wrong and in which row, and a worker that dies closes it, which the supervisor notices at once.
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

# format.py comes before anything of FFCV, because it makes the import of FFCV cheap.
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

SMALLEST_PAGE = 2**21  # bytes; FFCV's bounds of a page, which must be a power of 2
LARGEST_PAGE = 2**31
CHUNK = 100  # rows that a worker takes at a time
PROGRESS_PERIOD = 0.2  # seconds; errors and deaths are noticed at once
WRITE_MODES = ("raw", "jpg")

# Workers are forked: they share the samples and the table of rows with the supervisor without a copy of either.
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Written:
    """What became of the samples. content: content_digest of the file. broken: row -> why it was left out, ascending."""

    content: str
    broken: dict[int, str]


Progress = Callable[[int, int], object]
Allocation = tuple[int, int, int]  # row, place in the file, bytes
Done = tuple[list[Allocation], dict[int, str]]  # and why which rows are left out


def write_beton(
    path: PathLike,
    samples: Samples,
    settings: Mapping[str, Any],
    workers: int = 1,
    progress: Progress | None = None,
    skip_broken: bool = False,
) -> Written:
    """Write ``samples`` as the fields image and label of the .beton ``path``.

    samples: has ``__len__`` and ``__getitem__(row)`` -> (uint8 array [height, width, 3], whole number); in the place of
    the array may stand a Jpeg, whose data is kept if FFCV's decoder can read it. settings: write_mode ("raw" pixels or
    "jpg"), max_resolution (longest side in pixels, to which larger arrays are reduced, or None), jpeg_quality (1 to 100)
    and perhaps page_size (bytes; 2 MiB by default, raised to what the largest sample needs). workers: processes; they
    may change the layout of the file, never its content. progress: called now and then as ``progress(rows taken up,
    rows)``. skip_broken: rows whose sample raises BrokenImage are left out, and the rows after them move up. UserError,
    and no file, for a sample that is not as said, a disk that is full or a worker that dies.
    """
    if not len(samples):
        raise UserError(f"cannot write {path}: the data set has no samples; a .beton needs at least one")
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
                describe(temporary)  # FFCV passes over an error in its last table, and writes an empty one
                return written
            except PageTooSmall as error:  # rare: cheaper to begin again than to read every sample twice
                page_size = _page_size(error.needed)
            except (Failure, UserError) as error:
                raise UserError(f"cannot write {path}: {error}") from None


def content_digest(path: PathLike, workers: int = 1) -> str:
    """SHA-256 (hex) of the SHA-256 of each row (image and label, see row_digest), in row order, read from the file.

    The same for any number of writing workers and any page size, and what write_beton finds while it writes. workers:
    threads that decode, which change nothing.
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
    """FFCV's places in the file, with an error of its own for an image that is larger than a page."""

    def malloc(self, size: int) -> tuple[int, np.ndarray]:
        if size > LARGEST_PAGE:
            raise Failure(f"its image takes {size} bytes, and {LARGEST_PAGE} is the most; set max_resolution")
        if size > self.page_size:
            raise PageTooSmall(size)
        return super().malloc(size)


@dataclass(frozen=True)
class _Job:
    """What workers share: a fork has it without a copy. digests: uint8 [rows, DIGEST_SIZE]. supervisor: its process id."""

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
    """Run the workers until every row is in the file; end them all, whatever happens."""
    rows = writer.num_samples = len(samples)
    writer.prepare()  # the head of the file, and shared memory for the table of rows
    # Its name goes at once, for the workers inherit the memory itself: no kind of death can leave it behind.
    writer.metadata_sm.unlink()
    digests = np.frombuffer(mmap.mmap(-1, rows * DIGEST_SIZE), np.uint8).reshape(rows, DIGEST_SIZE)  # inherited too
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
            sender.close()  # before the next fork, so that only the worker holds this end, and its death closes it
        while running:
            for receiver in _ready(list(running)):
                result = _result(receiver, running[receiver])
                allocations += result[0]
                broken |= result[1]
                running.pop(receiver).join()
            if progress:
                # Read without its lock, which a worker may hold for ever, if it was killed while it held it.
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
    """Return those that have something to read, after a while at most."""
    ready = multiprocessing.connection.wait(receivers, timeout=PROGRESS_PERIOD)
    return [receiver for receiver in ready if isinstance(receiver, Connection)]


def _close_gaps(
    writer: DatasetWriter, allocations: list[Allocation], kept: np.ndarray, broken: dict[int, str]
) -> list[Allocation]:
    """Let the kept rows (ascending) move up in the table of rows; returns their allocations, numbered anew."""
    if not len(kept):
        raise Failure(f"not one of its images can be read; the first: {next(iter(broken.values()))}")
    table = np.frombuffer(writer.metadata_sm.buf, dtype=writer.metadata_type)
    numbers = np.zeros(len(table), np.int64)
    numbers[kept] = np.arange(len(kept))
    table[: len(kept)] = table[kept]
    table[len(kept) :] = np.zeros((), writer.metadata_type)
    writer.header["num_samples"] = len(kept)
    return [(int(numbers[row]), pointer, size) for row, pointer, size in allocations]


def _result(receiver: Connection, worker: BaseProcess) -> Done:
    """What a worker sends at its end: allocations (row, place in the file, bytes) and why which rows are left out.

    Raises the error that it sends instead.
    """
    try:
        result = receiver.recv()
    except (EOFError, OSError):
        worker.join()
        raise Failure(
            f"a worker process ended early (exit code {worker.exitcode}; -9 often means too little memory); give the "
            "job more memory or fewer threads, and run it again"
        ) from None
    if isinstance(result, Exception):
        raise result
    done: Done = result
    return done


def _work(sender: Connection, job: _Job) -> None:
    """A worker process: write chunks of rows until there are none, then send what _result returns or raises."""
    _follow(job.supervisor)
    broken: dict[int, str] = {}
    result: Done | Exception
    try:
        # Not as a context manager: on an error that would wait for the other workers' pages before we can say so.
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
        result = Failure(f"{error}; make room or choose another disk, and run it again")
    sender.send(result)


def _follow(supervisor: int) -> None:
    """Let this worker end with its supervisor, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _take(chunks_taken: "Synchronized[int]", rows: int) -> Iterator[range]:
    """Chunks of rows that no other worker has taken."""
    chunks = _chunks(rows)
    while True:
        with chunks_taken.get_lock():
            number = chunks_taken.value
            if number == len(chunks):
                return
            chunks_taken.value = number + 1
        yield chunks[number]
