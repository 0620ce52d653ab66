"""Test reading a .beton file: views do not depend on batches or workers, bad files are refused, all threads end."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
import torch

from tests.references.reader import batches_reference
from tests.support import settings as made
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv import reader as ffcv_reader
from workflow_scripts.timecat.images.ffcv.format import describe
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.ffcv.writer import write_beton

from ffcv.fields import IntField, RGBImageField  # isort: skip
from ffcv.types import ALLOC_TABLE_TYPE, FieldDescType, HeaderType  # isort: skip
from ffcv.writer import DatasetWriter  # isort: skip

TRANSFORM = made.transform(
    size=24, scale=[0.3, 1.0], ratio=[0.75, 4 / 3], flip=0.5, center_ratio=0.875, mean=[0.5] * 3, std=[0.25] * 3
)
RAW = {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90}
KEY = views.view_key(0, "mixed", 3)
ROWS = 150


def make_samples(rows: int):
    """Return samples (image, label) with images of many shapes; every fourth image is 24 x 24."""
    random = np.random.default_rng(rows)
    shapes = random.integers(20, 50, (rows, 2))
    shapes[::4] = 24
    return [(random.integers(0, 256, (*shape, 3), dtype=np.uint8), row % 7) for row, shape in enumerate(shapes)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Path of a .beton file with ROWS samples, stored as raw pixels."""
    path = tmp_path_factory.mktemp("betons") / "raw.beton"
    write_beton(path, make_samples(ROWS), RAW)
    return path


@pytest.fixture(scope="module")
def jpg(tmp_path_factory):
    """Path of a .beton file with ROWS samples, stored as JPEG."""
    path = tmp_path_factory.mktemp("betons") / "jpg.beton"
    write_beton(path, make_samples(ROWS), RAW | {"write_mode": "jpg"})
    return path


def read(path, rows=None, batch_size=64, key=KEY, workers=1, transform=TRANSFORM):
    """Read all batches and return (rows, images, labels), each concatenated."""
    parts = list(batches(path, np.arange(ROWS) if rows is None else rows, batch_size, transform, key, workers))
    return tuple(np.concatenate([np.asarray(part[column]) for part in parts]) for column in range(3))


def data_threads():
    """Return the running threads of readers: FFCV's threads and the decoding threads."""
    return [thread for thread in threading.enumerate() if "_Epoch" in repr(thread) or "Pool" in thread.name]


def in_time(function, seconds=20):
    """Call the function; return its result, raise its error, or raise TimeoutError if it hangs."""
    future = Future()

    def call():
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future.result(seconds)


@pytest.mark.parametrize("file", ["raw", "jpg"])
@pytest.mark.parametrize("key", [KEY, None], ids=["random", "center"])
@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic"])
def test_batches_equal_the_plain_reference(file, key, interpolation, request):
    path, rows = request.getfixturevalue(file), np.array([5, 3, 3, 149, 8, 0, 77, 64, 4, 4])
    transform = dataclasses.replace(TRANSFORM, interpolation=interpolation)
    found, wanted = (list(reader(path, rows, 4, transform, key)) for reader in (batches, batches_reference))
    assert [len(batch[0]) for batch in found] == [4, 4, 2]
    for batch, reference in zip(found, wanted, strict=True):
        assert np.array_equal(batch[0], reference[0])
        assert batch[1].dtype == torch.uint8 and batch[2].dtype == torch.int64
        assert batch[1].shape[1:] == (24, 24, 3)
        assert torch.equal(batch[1], reference[1]) and torch.equal(batch[2], reference[2])


@pytest.mark.parametrize("file", ["raw", "jpg"])
@pytest.mark.parametrize("key", [KEY, None], ids=["random", "center"])
@pytest.mark.parametrize("interpolation", ["area", "bicubic"])
def test_a_view_does_not_depend_on_workers_batches_or_order(file, key, interpolation, request, monkeypatch):
    monkeypatch.setattr(ffcv_reader, "usable_workers", lambda workers: workers)  # on machines with one CPU, too
    path, transform = request.getfixturevalue(file), dataclasses.replace(TRANSFORM, interpolation=interpolation)
    _, wanted, labels = read(path, key=key, transform=transform)
    assert np.array_equal(labels, np.arange(ROWS) % 7)
    orders = [np.arange(ROWS), np.random.default_rng(0).permutation(ROWS), np.array([7, 9, 7, 149, 0, 7])]
    for rows in orders:
        for workers, batch_size in ((1, 37), (2, 37), (2, 1000), (3, 1)):
            found_rows, images, labels = read(path, rows, batch_size, key, workers, transform)
            assert np.array_equal(found_rows, rows)
            assert np.array_equal(images, wanted[rows])
            assert np.array_equal(labels, rows % 7)


def test_a_view_is_the_same_in_another_process(jpg, root):
    _, images, _ = read(jpg)
    script = f"""
        import hashlib, sys
        import numpy as np
        from workflow_scripts.timecat.images.ffcv import reader as ffcv_reader
        from workflow_scripts.timecat.images import views
        from workflow_scripts.timecat.images.transform import Transform
        from ffcv.fields import rgb_image
        assert type(rgb_image.IMAGE_MODES) is dict, "FFCV has compiled its typed dict"
        transform = Transform(**{vars(TRANSFORM)})
        key = views.view_key(0, "mixed", 3)
        read = ffcv_reader.batches({str(jpg)!r}, np.arange({ROWS})[::-1], 11, transform, key, workers=2)
        images = np.concatenate([images.numpy() for _, images, _ in read])[::-1]
        print(hashlib.sha256(images.tobytes()).hexdigest())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100, check=True).stdout
    assert output.split() == [hashlib.sha256(images.tobytes()).hexdigest()]


def test_views_differ_from_each_other(raw):
    """The views are two random views and the centre view."""
    first, second, center = (read(raw, key=views.view_key(0, "mixed", view))[1] for view in (0, 1, views.CENTER))
    for one, other in ((first, second), (first, center)):
        assert (one != other).any(axis=(1, 2, 3)).mean() > 0.95


def test_the_center_view_does_not_change_an_image_of_the_output_size(raw):
    whole = made.transform(**vars(TRANSFORM) | {"center_ratio": 1.0})
    (_, images, _), *_ = batches(raw, [0, 4, 8], 3, whole, None)
    for image, row in zip(images, (0, 4, 8), strict=True):
        assert np.array_equal(image, make_samples(ROWS)[row][0])


def test_batches_are_never_overwritten(raw):
    """FFCV reuses its tensors five batches later. Here later batches must not contain a caller's changes to a batch."""
    rows = np.tile(np.arange(20), 3)
    first, last = [], []
    for batch, images, labels in batches(raw, rows, 2, TRANSFORM, KEY):
        (first if len(first) < 10 else last).append((batch, images.clone(), labels.clone()))
        images.zero_(), labels.zero_(), batch.fill(-1)
    assert len(last) == 20
    for (_, images, labels), (_, again, labels_again) in zip(first, last[:10], strict=True):
        assert images.any() and torch.equal(images, again) and torch.equal(labels, labels_again)


@pytest.mark.parametrize("batches_read", [0, 1, 6, 47, 49, 50])
@pytest.mark.parametrize("workers", [1, 2])
def test_closing_early_leaves_no_thread(raw, batches_read, workers):
    assert not data_threads()
    reader = batches(raw, np.arange(ROWS), 3, TRANSFORM, KEY, workers)
    for _ in range(batches_read):
        next(reader)
    # Sleep until the thread waits for room in the queue: for its next batch or, after 47 of 50 batches, its end mark.
    time.sleep(0.1)
    in_time(reader.close)
    assert not data_threads()


def test_closing_early_does_not_read_to_the_end(raw, monkeypatch):
    decode, decoded = ffcv_reader._decode_rows, []
    monkeypatch.setattr(ffcv_reader, "_decode_rows", lambda *values: decoded.append(1) or decode(*values))
    reader = batches(raw, np.arange(ROWS), 1, TRANSFORM, KEY)
    next(reader)
    reader.close()
    assert len(decoded) <= 6  # one was read, three wait in the queue, and one or two were in progress


def test_no_thread_is_left_after_the_loop(raw):
    assert len(list(batches(raw, np.arange(ROWS), 64, TRANSFORM, KEY, 2))) == 3
    assert not data_threads()
    for _ in batches(raw, np.arange(ROWS), 3, TRANSFORM, KEY, 2):
        break
    assert not data_threads()


def test_an_empty_list_of_rows_gives_no_batches(raw):
    assert list(batches(raw, [], 8, TRANSFORM, KEY)) == []


@pytest.mark.parametrize("row", [ROWS, -1])
def test_a_missing_row_is_refused_before_the_first_batch(raw, row):
    with pytest.raises(UserError, match=rf"raw\.beton has rows 0 to 149, but row {row} was requested"):
        batches(raw, [0, row, 1], 8, TRANSFORM, KEY)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_error_about_a_corrupt_image_names_file_and_row(jpg, tmp_path, workers):
    path = tmp_path / "corrupt.beton"
    content, beton = bytearray(jpg.read_bytes()), describe(jpg)
    start, size = beton.pointers[100], beton.sizes[100]
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    reader = batches(path, np.arange(ROWS), 8, TRANSFORM, KEY, workers)
    read_rows = []
    with pytest.raises(UserError, match=r"corrupt\.beton: the JPEG data of row 100 cannot be decoded"):
        in_time(lambda: read_rows.extend(batch[0][-1] for batch in reader))
    assert read_rows[-1] == 95  # the batches before it are read
    assert not data_threads()
    with pytest.raises(UserError, match="row 100"):
        ffcv_reader.read_image(describe(path), 100)


def test_an_error_in_the_thread_is_raised_in_the_caller(raw, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("as a test")

    monkeypatch.setattr(views, "random_boxes", fail)
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: read(raw))
    assert not data_threads()


def set_header(content: bytearray, field: str, value: int) -> bytearray:
    header = np.frombuffer(content, HeaderType, count=1)
    header[field] = value
    return content


def set_row(content: bytearray, field: str, value: int) -> bytearray:
    writer = DatasetWriter("", {"image": RGBImageField(), "label": IntField()})
    start = HeaderType.itemsize + 2 * FieldDescType.itemsize
    np.frombuffer(content, writer.metadata_type, count=ROWS, offset=start)["f0"][field][77] = value
    return content


def move_image(content: bytearray, place: int) -> bytearray:
    table = np.frombuffer(content, ALLOC_TABLE_TYPE, offset=len(content) - ROWS * ALLOC_TABLE_TYPE.itemsize)
    table["ptr"][table["sample_id"] == 77] = place
    return set_row(content, "data_ptr", place)


DAMAGES = {
    "truncated by one table entry": lambda content: content[: -ALLOC_TABLE_TYPE.itemsize],
    "longer by a byte": lambda content: content + b"0",
    "truncated to a half": lambda content: content[: len(content) // 2],
    "truncated to its header": lambda content: content[:300],
    "longer by 24 bytes": lambda content: content + bytes(24),
    "writer killed": lambda content: set_header(content, "alloc_table_ptr", 0),
    "no rows": lambda content: set_header(content, "num_samples", 0),
    "another version": lambda content: set_header(content, "version", 1),
    "a width of zero": lambda content: set_row(content, "width", 0),
    "another width": lambda content: set_row(content, "width", 24),
    "another offset": lambda content: set_row(content, "data_ptr", 2**21),
    "an offset beyond the images": lambda content: move_image(content, len(content) - 100),
    "empty": lambda content: b"",
    "a text file": lambda content: b"a text\n" * 10000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_incomplete_or_damaged_file_is_refused(raw, tmp_path, damage):
    path = tmp_path / "damaged.beton"
    path.write_bytes(DAMAGES[damage](bytearray(raw.read_bytes())))
    for use in (describe, lambda path: batches(path, [0], 1, TRANSFORM, KEY)):
        with pytest.raises(UserError, match=r"damaged\.beton is not a complete \.beton file .*: remove the file"):
            use(path)


def test_missing_unfinished_and_foreign_files_are_refused(tmp_path):
    """A foreign file has fields that are not image and label."""
    path = tmp_path / "other.beton"
    with pytest.raises(UserError, match=r"there is no file .*other\.beton: run write_dataset"):
        describe(path)
    for fields, problem in (
        ({"image": RGBImageField(), "label": IntField()}, "its writer did not finish"),
        ({"covariate": RGBImageField(), "label": IntField()}, "its fields are covariate, label"),
    ):
        writer = DatasetWriter(str(path), fields)
        writer.num_samples = 9
        writer.prepare()  # as a killed writer leaves it
        writer.metadata_sm.close()
        writer.metadata_sm.unlink()
        with pytest.raises(UserError, match=problem):
            describe(path)


def test_reading_does_not_change_global_state(raw):
    """Global state is torch's number of threads and NumPy's random generator."""
    threads, state = torch.get_num_threads(), str(np.random.get_state())
    try:
        torch.set_num_threads(3)
        counts = set()
        for _ in batches(raw, np.arange(ROWS), 8, TRANSFORM, KEY, 2):
            fresh = []  # a new thread uses the number of threads that torch has for the process
            thread = threading.Thread(target=lambda fresh=fresh: fresh.append(torch.get_num_threads()))
            thread.start(), thread.join()
            counts |= {torch.get_num_threads(), *fresh}
        assert counts == {3}
    finally:
        torch.set_num_threads(threads)
    assert str(np.random.get_state()) == state


def test_workers_are_limited_to_the_cpus_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 6})
    assert [ffcv_reader.usable_workers(workers) for workers in (0, 1, 3, 100)] == [1, 1, 3, 3]


def test_importing_ffcv_does_not_import_setuptools(root):
    """Importing setuptools takes a quarter of a second in every stage that reads images; distutils stays importable."""
    code = (
        "import sys, workflow_scripts.timecat.images.ffcv.reader, workflow_scripts.timecat.images.ffcv.writer\n"
        "assert not {'setuptools', 'distutils', 'distutils.log'} & set(sys.modules)\n"
        "import distutils.log\n"
        "assert callable(distutils.log.warn)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
