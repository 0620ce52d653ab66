"""Writing a .beton, whole or not at all: FFCV's encoding and file format, under a supervisor of our own.

FFCV 1.0.2's DatasetWriter waits for ever once a sample raises, has the wrong type or exceeds a page, or once a worker is
killed, and it leaves a file that opens, and an entry in /dev/shm. Here every worker holds a pipe to the supervisor: it
says through it what went wrong and in which row, and a worker that dies closes it, which the supervisor notices at once.
"""

import ctypes
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

# beton.py comes before anything of FFCV, because it makes the import of FFCV cheap.
from workflow_scripts.timecat.artifacts import UserError, atomic_path
from workflow_scripts.timecat.beton import describe, read_image, usable_workers

from ffcv.fields import IntField, RGBImageField  # isort: skip
from ffcv.memory_allocator import MemoryAllocator  # isort: skip
from ffcv.writer import DatasetWriter, handle_sample  # isort: skip

SMALLEST_PAGE = 2**21  # bytes; FFCV's bounds of a page, which must be a power of 2
LARGEST_PAGE = 2**31
LONGEST_SIDE = 2**16 - 1  # pixels; the file format keeps 16 bits
CHUNK = 100  # rows that a worker takes at a time
PROGRESS_PERIOD = 0.2  # seconds; errors and deaths are noticed at once
WRITE_MODES = ("raw", "jpg")

# Workers are forked: they share the samples and the table of rows with the supervisor without a copy of either.
_fork = multiprocessing.get_context("fork")


def write_beton(path, samples, settings: dict, workers: int = 1, progress=None) -> None:
    """Write ``samples`` as the fields image and label of the .beton ``path``.

    samples: has ``__len__`` and ``__getitem__(row)`` -> (uint8 array [height, width, 3], whole number). settings:
    write_mode ("raw" pixels or "jpg"), max_resolution (longest side in pixels, to which larger images are reduced, or
    None), jpeg_quality (1 to 100) and perhaps page_size (bytes; 2 MiB by default, raised to what the largest sample
    needs). workers: processes; they may change the layout of the file, never its content. progress: called now and
    then as ``progress(rows taken up, rows)``. UserError, and no file, for a sample that is not as said, a disk that is
    full or a worker that dies.
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
                _write(writer, samples, usable_workers(workers), progress)
                describe(temporary)  # FFCV passes over an error in its last table, and writes an empty one
                break
            except _PageTooSmall as error:  # rare: cheaper to begin again than to read every sample twice
                page_size = _page_size(error.needed)
            except (_Failure, UserError) as error:
                raise UserError(f"cannot write {path}: {error}") from None


def content_digest(path, workers: int = 1) -> str:
    """SHA-256 (hex) of each row's image (height, width, decoded pixels) and label, in row order.

    The same for any number of writing workers and any page size. workers: threads that decode, which change nothing.
    """
    beton = describe(path)
    sha = hashlib.sha256(f"{beton.rows} rows\n".encode())
    workers = usable_workers(workers)
    with ThreadPoolExecutor(workers) as pool:
        in_order = pool.map if workers > 1 else map
        for chunk in _chunks(beton.rows):
            for row, image in zip(chunk, in_order(partial(read_image, beton), chunk), strict=True):
                sha.update(f"{beton.heights[row]} x {beton.widths[row]}, label {beton.labels[row]}\n".encode())
                sha.update(image)
    return sha.hexdigest()


def _page_size(size: int) -> int:
    return max(SMALLEST_PAGE, 1 << (int(size) - 1).bit_length())


def _chunks(rows: int) -> list[range]:
    return [range(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]


class _Failure(Exception):
    """What is wrong, where, and the remedy; the name of the file comes before it."""


class _PageTooSmall(Exception):
    def __init__(self, needed: int):
        super().__init__(needed)
        self.needed = needed  # bytes


class _Allocator(MemoryAllocator):
    """FFCV's places in the file, with an error of its own for an image that is larger than a page."""

    def malloc(self, size: int):
        if size > LARGEST_PAGE:
            raise _Failure(f"its image takes {size} bytes, and {LARGEST_PAGE} is the most; set max_resolution")
        if size > self.page_size:
            raise _PageTooSmall(size)
        return super().malloc(size)


def _write(writer: DatasetWriter, samples, workers: int, progress) -> None:
    """Run the workers until every row is in the file; end them all, whatever happens."""
    writer.num_samples = len(samples)
    writer.prepare()  # the head of the file, and shared memory for the table of rows
    # Its name goes at once, for the workers inherit the memory itself: no kind of death can leave it behind.
    writer.metadata_sm.unlink()
    chunks_taken = _fork.Value(ctypes.c_uint64, 0)
    allocator = _Allocator(writer.fname, writer.data_region_start, writer.page_size)
    running, allocations = {}, []
    try:
        for _ in range(workers):
            receiver, sender = _fork.Pipe(duplex=False)
            worker = _fork.Process(
                target=_work, args=(sender, writer, samples, chunks_taken, allocator, os.getpid()), daemon=True
            )
            worker.start()
            running[receiver] = worker
            sender.close()  # before the next fork, so that only the worker holds this end, and its death closes it
        while running:
            for receiver in multiprocessing.connection.wait(list(running), timeout=PROGRESS_PERIOD):
                allocations.extend(_result(receiver, running[receiver]))
                running.pop(receiver).join()
            if progress:
                # Read without its lock, which a worker may hold for ever, if it was killed while it held it.
                progress(min(chunks_taken.get_obj().value * CHUNK, len(samples)), len(samples))
        writer.finalize(allocations)
    finally:
        for worker in running.values():
            worker.kill()
            worker.join()
        writer.metadata_sm.close()


def _result(receiver, worker) -> list:
    """The allocations (row, place in the file, bytes) that a worker sends at its end; raises the error it sends instead."""
    try:
        result = receiver.recv()
    except (EOFError, OSError):
        worker.join()
        raise _Failure(
            f"a worker process ended early (exit code {worker.exitcode}; -9 often means too little memory); give the "
            "job more memory or fewer threads, and run it again"
        ) from None
    if isinstance(result, Exception):
        raise result
    return result


def _work(sender, writer: DatasetWriter, samples, chunks_taken, allocator: _Allocator, supervisor: int) -> None:
    """A worker process: write chunks of rows until there are none, then send the allocations, or what went wrong."""
    _follow(supervisor)
    try:
        # Not as a context manager: on an error that would wait for the other workers' pages before we can say so.
        allocator.__enter__()
        for chunk in _take(chunks_taken, len(samples)):
            for row in chunk:
                _store(_sample(samples, row), row, writer, allocator)
        allocator.__exit__(None, None, None)
        result = allocator.allocations
    except (_Failure, _PageTooSmall) as error:
        result = error
    except OSError as error:
        result = _Failure(f"{error}; make room or choose another disk, and run it again")
    sender.send(result)


def _follow(supervisor: int) -> None:
    """Let this worker end with its supervisor, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _take(chunks_taken, rows: int):
    """Chunks of rows that no other worker has taken."""
    chunks = _chunks(rows)
    while True:
        with chunks_taken.get_lock():
            number = chunks_taken.value
            if number == len(chunks):
                return
            chunks_taken.value = number + 1
        yield chunks[number]


def _sample(samples, row: int) -> tuple[np.ndarray, int]:
    """The sample of a row, if it is what write_beton asks for."""
    try:
        image, label = samples[row]
    except UserError as error:
        raise _Failure(f"row {row}: {error}") from None
    except Exception as error:  # noqa: BLE001
        raise _Failure(f"row {row}: {type(error).__name__}: {error}; mend this sample or leave it out") from None
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise _Failure(f"row {row}: its image is of type {kind}; make it a NumPy array of uint8")
    if image.ndim != 3 or image.shape[2] != 3:
        raise _Failure(f"row {row}: its image has shape {image.shape}; make it RGB, [height, width, 3]")
    if not 1 <= min(image.shape) <= max(image.shape) <= LONGEST_SIDE:
        raise _Failure(f"row {row}: its image has shape {image.shape}; make its sides 1 to {LONGEST_SIDE} pixels")
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
        raise _Failure(f"row {row}: its label is {label!r}; make it a whole number")
    return image, label


def _store(sample: tuple, row: int, writer: DatasetWriter, allocator: _Allocator) -> None:
    """Encode a sample into the worker's page, and its row into the table of rows."""
    table = np.frombuffer(writer.metadata_sm.buf, dtype=writer.metadata_type)
    try:
        handle_sample(sample, row, table.dtype.names, table, allocator, writer.fields)
    except (_PageTooSmall, OSError):
        raise
    except Exception as error:  # noqa: BLE001
        raise _Failure(f"row {row}: {error}; mend this sample or leave it out") from None
