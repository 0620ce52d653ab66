"""Test writing a .beton file: reading returns what was written, and every failure is reported without leaving files."""

import hashlib
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.ffcv import writer as ffcv_writer
from workflow_scripts.timecat.images.ffcv.format import JPEG, describe, read_image
from workflow_scripts.timecat.images.ffcv.writer import content_digest, write_beton

RAW = {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90}
fork = multiprocessing.get_context("fork")


class Samples:
    """Images of many shapes; ``changes`` maps rows to different samples, or to functions that return a sample."""

    def __init__(self, rows: int, changes: dict | None = None, seconds: float = 0.0):
        random = np.random.default_rng(5)
        shapes = random.integers(1, 20, (rows, 2))
        self.samples = [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
        self.changes, self.seconds = changes or {}, seconds

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, row):
        time.sleep(self.seconds)
        change = self.changes.get(row, (self.samples[row], row % 5))
        return change() if callable(change) else change


@pytest.fixture(autouse=True)
def any_number_of_workers(monkeypatch):
    """Allow several workers on machines with one CPU."""
    monkeypatch.setattr(ffcv_writer, "usable_workers", lambda workers: workers)


def processes_of(path: Path) -> list[int]:
    """Return the ids of processes that have a file in the folder of ``path`` open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            opened = [str(link.readlink()) for link in (entry / "fd").iterdir()]
        except OSError:
            continue
        if any(target.startswith(str(path.parent)) for target in opened):
            found.append(int(entry.name))
    return found


def within(seconds: float, condition) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def start(function) -> tuple:
    """Start the function in a process; return the process and a connection that receives the error message or None."""

    def call(sender):
        # As in a terminal; a shell starts background processes with interrupts ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            function()
            sender.send(None)
        except UserError as error:
            sender.send(str(error))
        except BaseException as error:
            sender.send(f"not a UserError but {error!r}")

    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=call, args=(sender,))
    process.start()
    sender.close()
    return process, receiver


def outcome(function, seconds: float = 20) -> str | None:
    """Return the message of the function's error, or None; fail if it does not end in time."""
    process, receiver = start(function)
    try:
        assert receiver.poll(seconds), f"no answer within {seconds} s"
        return receiver.recv()
    finally:
        process.kill()
        process.join()


def left_behind(path) -> list:
    """Return the files in the folder of ``path`` and the ids of processes that have one of them open."""
    return [*path.parent.iterdir(), *processes_of(path)]


@pytest.mark.parametrize("workers", [1, 2])
def test_reading_a_file_returns_what_was_written(tmp_path, workers):
    strided = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(3, 8, 6).T[::-1, ::2]
    samples, path, seen = Samples(730, {9: (strided, np.int32(3))}), tmp_path / "deep" / "a.beton", []
    write_beton(path, samples, RAW, workers, progress=lambda done, rows: seen.append((done, rows)))
    beton = describe(path)
    assert beton.rows == 730 and (beton.modes != JPEG).all()
    for row in range(730):
        image, label = samples[row]
        assert np.array_equal(read_image(beton, row), image) and beton.labels[row] == label
    assert seen[-1] == (730, 730) and seen == sorted(seen)
    assert left_behind(path) == [path]


def test_jpeg_quality_and_max_resolution_are_applied(tmp_path):
    y, x = np.mgrid[:40, :60]
    smooth = np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)
    samples = Samples(3, {0: (smooth, 1), 1: (smooth, 2), 2: (np.asfortranarray(smooth), np.int32(3))})
    path, settings = tmp_path / "a.beton", {"write_mode": "jpg", "max_resolution": None, "jpeg_quality": 95}
    write_beton(path, samples, settings)
    beton = describe(path)
    assert (beton.modes == JPEG).all() and beton.labels.tolist() == [1, 2, 3]
    assert all(np.abs(read_image(beton, row).astype(int) - smooth).mean() < 2 for row in range(3))
    large = beton.sizes[0]
    write_beton(path, samples, settings | {"jpeg_quality": 30})
    assert describe(path).sizes[0] < large
    write_beton(path, samples, settings | {"max_resolution": 30})
    assert describe(path).heights.tolist() == [20] * 3 and describe(path).widths.tolist() == [30] * 3


def test_the_digest_depends_only_on_the_content(tmp_path):
    path = tmp_path / "a.beton"

    def digest_of(samples, workers=1, digest_workers=1, **changes):
        write_beton(path, samples, RAW | changes, workers)
        return content_digest(path, digest_workers)

    image = np.arange(2 * 6 * 3, dtype=np.uint8).reshape(2, 6, 3)
    wanted = digest_of(Samples(500))
    assert digest_of(Samples(500), workers=2) == wanted
    assert digest_of(Samples(500), workers=2, digest_workers=2, page_size=2**22) == wanted
    others = [
        digest_of(Samples(499)),
        digest_of(Samples(500, {499: (image, 0)})),
        digest_of(Samples(500, {499: (image, 1)})),
        digest_of(Samples(500, {498: (image, 0)})),
        digest_of(Samples(500, {499: (image.reshape(6, 2, 3), 0)})),
        digest_of(Samples(500, {499: (image + np.uint8(1), 0)})),
    ]
    assert len({wanted, *others}) == 7


def test_the_digest_equals_a_plain_computation(tmp_path):
    samples, sha = Samples(130), hashlib.sha256()
    for row in range(130):
        image, label = samples[row]
        text = b"%d x %d, label %d\n" % (*image.shape[:2], label)
        sha.update(hashlib.sha256(text + image.tobytes()).digest())
    write_beton(tmp_path / "a.beton", samples, RAW)
    assert content_digest(tmp_path / "a.beton") == sha.hexdigest()


@pytest.mark.parametrize("settings", [RAW, RAW | {"write_mode": "jpg"}], ids=["raw", "jpg"])
def test_the_writer_returns_the_digest_of_the_file(tmp_path, settings):
    written = write_beton(tmp_path / "a.beton", Samples(230), settings, 2)
    assert written.content == content_digest(tmp_path / "a.beton") and written.broken == {}


def test_pages_grow_to_the_largest_sample(tmp_path):
    large, larger = (np.full((900, side, 3), side % 256, np.uint8) for side in (800, 1600))
    samples, path = Samples(300, {5: (large, 1), 250: (larger, 2)}), tmp_path / "a.beton"
    assert outcome(lambda: write_beton(path, samples, RAW, 2)) is None
    assert np.array_equal(read_image(describe(path), 5), large)
    assert np.array_equal(read_image(describe(path), 250), larger)
    assert describe(path).rows == 300


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def raise_(error):
    def sample():
        raise error

    return sample


GOOD = np.zeros((4, 4, 3), np.uint8)
BAD_SAMPLES = {
    "an error": (raise_(OSError("image file is truncated")), "row 333: OSError: image file is truncated; correct"),
    "a user's error": (raise_(UserError("x.png is cut; remove it")), "row 333: x.png is cut; remove it"),
    "floats": ((GOOD / 255, 0), "row 333: the image is of type float64; it must be a NumPy array of uint8"),
    "a list": (([[[0, 0, 0]]], 0), "row 333: the image is of type list; it must be a NumPy array of uint8"),
    "RGBA": ((np.zeros((4, 4, 4), np.uint8), 0), "row 333: the image has shape (4, 4, 4); it must be RGB"),
    "grey": ((np.zeros((4, 4), np.uint8), 0), "row 333: the image has shape (4, 4); it must be RGB"),
    "no pixels": ((np.zeros((0, 4, 3), np.uint8), 0), "row 333: the image has shape (0, 4, 3); its sides must have 1"),
    "a long side": ((np.zeros((2**16, 1, 3), np.uint8), 0), "row 333: the image has shape (65536, 1, 3); its"),
    "label is text": ((GOOD, "3"), "row 333: the label is '3'; it must be an integer"),
    "label is a float": ((GOOD, 3.0), "row 333: the label is 3.0; it must be an integer"),
    "label is too large": ((GOOD, 2**63), "row 333: "),
    "no label": ((GOOD,), "row 333: ValueError: "),
    "a killed worker": (killed, "a worker process ended early (exit code -9;"),
    "a worker that exits": (lambda: os._exit(3), "a worker process ended early (exit code 3;"),
}


@pytest.mark.parametrize(
    ("kind", "workers"), [*((kind, 2) for kind in BAD_SAMPLES), ("an error", 1), ("a killed worker", 1)]
)
def test_a_bad_sample_is_reported_immediately(tmp_path, kind, workers):
    sample, message = BAD_SAMPLES[kind]
    path = tmp_path / "a.beton"
    # With two workers, the worker without row 333 would be busy for minutes.
    samples = Samples(500, {333: sample, 400: lambda: time.sleep(300)})
    found = outcome(lambda: write_beton(path, samples, RAW, workers))
    assert found is not None and found.startswith(f"cannot write {path}: {message}")
    assert left_behind(path) == []


def test_an_image_larger_than_the_largest_page_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ffcv_writer, "LARGEST_PAGE", 2**21)
    samples = Samples(10, {7: (np.zeros((1000, 800, 3), np.uint8), 0)})
    found = outcome(lambda: write_beton(tmp_path / "a.beton", samples, RAW))
    assert "row 7: the image takes 2400000 bytes, but the limit is 2097152; set `longest_side` to reduce it" in found
    assert left_behind(tmp_path / "a.beton") == []


def test_a_full_disk_is_reported(tmp_path):
    image = np.zeros((600, 600, 3), np.uint8)

    def write():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 2**20, 3 * 2**20))
        write_beton(tmp_path / "a.beton", Samples(10, dict.fromkeys(range(10), (image, 0))), RAW, 2)

    assert "make room or choose another disk" in outcome(write)
    assert left_behind(tmp_path / "a.beton") == []


def test_wrong_arguments_of_the_writer_are_refused(tmp_path):
    """The arguments are an empty data set and an unknown `write_mode`."""
    with pytest.raises(UserError, match="has no samples"):
        write_beton(tmp_path / "a.beton", Samples(0), RAW)
    with pytest.raises(UserError, match="write_mode is 'png'; use raw or jpg"):
        write_beton(tmp_path / "a.beton", Samples(1), RAW | {"write_mode": "png"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_file_and_no_worker(tmp_path, number):
    path = tmp_path / "a.beton"
    path.write_bytes(b"what was there before")
    process, receiver = start(lambda: write_beton(path, Samples(1000, seconds=0.1), RAW, 2))
    try:
        assert within(10, lambda: len(processes_of(path)) == 2), "the workers did not start"
        if number == signal.SIGINT:  # Ctrl-C reaches all processes; the workers ignore it
            for worker in processes_of(path):
                os.kill(worker, number)
            assert not receiver.poll(0.5)
        os.kill(process.pid, number)
        process.join(10)
        assert process.exitcode is not None
        if number == signal.SIGINT:
            assert receiver.recv() == "not a UserError but KeyboardInterrupt()"
        assert within(5, lambda: not processes_of(path)), "the workers still write"
    finally:
        process.kill()
    assert path.read_bytes() == b"what was there before"
    if number == signal.SIGINT:
        assert list(tmp_path.iterdir()) == [path]


def test_shared_memory_has_no_name_while_workers_run(tmp_path):
    """Shared memory without a name cannot be left behind, even if all processes are killed."""

    def memory_of_this_process():
        shared = [line.rstrip() for line in Path("/proc/self/maps").open() if "/dev/shm/psm_" in line]
        if not shared or not all(line.endswith("(deleted)") for line in shared):
            raise UserError(f"shared memory with a name, or none: {shared}")
        return GOOD, 0

    write_beton(tmp_path / "a.beton", Samples(3, {1: memory_of_this_process}), RAW)


def test_an_incompletely_written_file_is_refused(tmp_path, monkeypatch):
    finalize = ffcv_writer.DatasetWriter.finalize
    monkeypatch.setattr(ffcv_writer.DatasetWriter, "finalize", lambda writer, allocations: finalize(writer, []))
    with pytest.raises(UserError, match=r"cannot write .*a\.beton: .*its last table has 0 of 10 entries"):
        write_beton(tmp_path / "a.beton", Samples(10), RAW)
    assert left_behind(tmp_path / "a.beton") == []


def test_an_error_keeps_the_previous_file(tmp_path):
    path = tmp_path / "a.beton"
    write_beton(path, Samples(10), RAW)
    before = path.read_bytes()
    with pytest.raises(UserError, match="row 3"):
        write_beton(path, Samples(10, {3: (GOOD, None)}), RAW)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
