"""Test that tables on disk give the same rows as tables in memory, end their threads, and report errors."""

import itertools
import os
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features import reader
from workflow_scripts.timecat.features.reader import InMemory, OnDisk, Pieces

ROWS, WIDTHS = 203, (11, 6, 40)
ROW_BYTES = 2 * sum(WIDTHS)


@pytest.fixture
def paths(tmp_path):
    """Paths of the float16 files of three members with different dimensions."""
    random = np.random.default_rng(0)
    for number, width in enumerate(WIDTHS):
        np.save(tmp_path / f"{number}.npy", random.normal(size=(ROWS, width)).astype(np.float16))
    return [tmp_path / f"{number}.npy" for number in range(len(WIDTHS))]


@pytest.fixture
def whole(paths):
    """Concatenated features of the members, [rows, 57]."""
    return np.hstack([np.load(path) for path in paths])


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Check after each test that it has ended all threads that it started."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def on_disk(paths, window_rows: int) -> OnDisk:
    """Return a table on disk whose windows have ``window_rows`` rows."""
    return OnDisk([np.load(path, mmap_mode="r") for path in paths], reader.WINDOWS * window_rows * ROW_BYTES)


def orders():
    """Return orders of rows to read, by name: all rows, some, with repetitions, and ascending."""
    shuffled = randomness.permutation(7, np.arange(ROWS))
    return {"all": shuffled, "some": shuffled[:50], "repeated": shuffled[[3, 3, 9, 3]], "ascending": np.arange(ROWS)}


@pytest.mark.parametrize("order", orders())
@pytest.mark.parametrize("window_rows", [1, 7, 64, ROWS, 10_000])
def test_windows_give_the_rows_of_an_order(paths, whole, window_rows, order, monkeypatch):
    monkeypatch.setattr(reader, "_PART_BYTES", 5 * ROW_BYTES)  # several jobs for each window
    order = orders()[order]
    found, sizes = [], []
    with closing(on_disk(paths, window_rows).windows(order)) as windows:
        for window in windows:
            assert np.array_equal(window.rows, order[len(found) :][: len(window.rows)])
            found += list(window.features[window.places])
            sizes.append(len(window.features))
    assert np.array_equal(np.array(found), whole[order])
    assert sizes[:-1] == [window_rows] * (len(sizes) - 1) and 0 < sizes[-1] <= window_rows


def test_members_of_different_dtype_get_the_dtype_of_their_concatenation(paths):
    single = np.load(paths[1]).astype(np.float32) / 3
    np.save(paths[1], single)
    wanted = np.concatenate([np.load(path) for path in paths], axis=1)
    with closing(on_disk(paths, 50).windows(np.arange(ROWS))) as windows:
        found = np.concatenate([window.features[window.places] for window in windows])
    assert found.dtype == wanted.dtype == np.float32 and np.array_equal(found, wanted)


def pieces_of(table, order, sizes, wanted=None):
    """Return the pieces of these sizes that Pieces cuts from the windows of a table."""
    pieces = Pieces(sizes)
    with closing(table.windows(order)) as windows:
        return [piece for window in windows for piece in pieces.of(window, wanted)]


@pytest.mark.parametrize("window_rows", [1, 5, 33, ROWS])
@pytest.mark.parametrize("sizes", [[ROWS], [64, 64, 64, 11], [1] * ROWS, [100, 103]])
def test_pieces_do_not_depend_on_where_windows_end(paths, whole, window_rows, sizes):
    order = orders()["all"]
    memory, disk = (pieces_of(table, order, sizes) for table in (InMemory(whole), on_disk(paths, window_rows)))
    assert [len(rows) for _, rows in disk] == sizes
    for (x, rows), (other, other_rows) in zip(memory, disk, strict=True):
        assert torch.equal(x, other) and torch.equal(rows, other_rows) and x.is_contiguous() and other.is_contiguous()
    assert torch.equal(torch.cat([x for x, _ in disk]), torch.from_numpy(whole[order]))


def test_two_pieces_take_different_rows_from_the_same_windows(paths, whole):
    order, mine = orders()["all"], np.arange(ROWS) % 3 != 0
    pieces = {"all": Pieces([100, 103]), "mine": Pieces([50] * 2 + [int(mine.sum()) - 100])}
    found = {"all": [], "mine": []}
    with closing(on_disk(paths, 17).windows(order)) as windows:
        for window in windows:
            found["all"] += pieces["all"].of(window)
            found["mine"] += pieces["mine"].of(window, mine)
    for name, rows in (("all", order), ("mine", order[mine[order]])):
        assert torch.equal(torch.cat([own for _, own in found[name]]), torch.from_numpy(rows))
        assert torch.equal(torch.cat([x for x, _ in found[name]]), torch.from_numpy(whole[rows]))


def test_one_window_is_read_ahead_while_the_caller_works(paths, monkeypatch):
    read, arrived = [], threading.Condition()
    fill = reader._fill

    def note(features, rows, members, files):
        fill(features, rows, members, files)
        with arrived:
            read.extend(rows.tolist())
            arrived.notify_all()

    monkeypatch.setattr(reader, "_fill", note)
    with closing(on_disk(paths, 20).windows(np.arange(ROWS))) as windows:
        for number in range(3):
            next(windows)
            with arrived:  # the next window arrives although next() was not called for it
                assert arrived.wait_for(lambda number=number: len(read) >= 20 * (number + 2), timeout=60)
            assert sorted(read) == list(range(20 * (number + 2)))


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_early_ends_the_threads(paths, taken):
    before = set(threading.enumerate())
    windows = on_disk(paths, 2).windows(np.arange(ROWS))
    list(itertools.islice(windows, taken))
    windows.close()
    assert set(threading.enumerate()) <= before


def test_files_are_closed_after_the_last_window(paths):
    def opened() -> set[str]:
        return {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}

    mine = {str(path) for path in paths}
    for _ in on_disk(paths, 10).windows(np.arange(ROWS)):
        assert mine <= opened()
    assert not mine & opened()


def test_a_file_that_becomes_shorter_is_an_error_in_the_caller(paths):
    """Reading the missing rows would end the process with SIGBUS."""
    windows = on_disk(paths, 10).windows(np.arange(ROWS))
    next(windows)
    os.truncate(paths[1], 200)
    with pytest.raises(UserError, match=r"1\.npy has become shorter; delete this file and extract again"):
        list(windows)


def test_a_missing_file_is_an_error(paths):
    table = on_disk(paths, 10)
    paths[2].unlink()
    with pytest.raises(UserError, match=r"2\.npy are missing; run the rule extract_features"):
        next(table.windows(np.arange(ROWS)))


def test_an_error_in_a_reader_thread_reaches_the_caller(paths):
    with pytest.raises(IndexError), closing(on_disk(paths, 10).windows(np.array([1, 2, ROWS]))) as windows:
        next(windows)


# A process reads 80 MB of features, shuffled and front to back: first with 4 MB for windows, then with all in memory.
LARGE = """
import sys
import numpy as np
import torch
from workflow_scripts.timecat.features.reader import InMemory, OnDisk, Pieces

def resident():  # bytes of memory that this process has, mapped files included
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])

def read(table):
    total, most = 0, 0
    for order in (np.random.default_rng(0).permutation(table.rows), np.arange(table.rows)):
        pieces = Pieces([100] * (table.rows // 100))
        for window in table.windows(order):
            total += sum(int(x[:, [0, -1]].sum()) for x, _ in pieces.of(window))
            most = max(most, resident())
    return total, most

members = [np.load(path, mmap_mode="r") for path in sys.argv[1:]]
read(InMemory(np.zeros((100, 100), np.float16)))  # whatever torch loads for it
before = resident()
for table in (lambda: OnDisk(members, 4e6), lambda: InMemory(np.concatenate(members, axis=1))):
    total, most = read(table())
    print(total, most - before)
"""


def test_windows_use_no_more_memory_than_they_are_given(tmp_path, root):
    paths = [tmp_path / "0.npy", tmp_path / "1.npy"]
    for number, path in enumerate(paths):
        np.save(path, np.full((10_000, 2000), number + 1, np.float16))
    command = [sys.executable, "-c", LARGE, *map(str, paths)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    total, disk, other_total, memory = map(int, done.stdout.split())
    assert total == other_total == 2 * 3 * 10_000
    # In addition to 4 MB of windows: memory that is being copied or mapped, and memory that malloc keeps.
    assert disk < 60e6 and memory > 75e6
