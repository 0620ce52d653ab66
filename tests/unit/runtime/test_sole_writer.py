"""Test that one process at a time writes, and that the next process waits and removes temporary files."""

import errno
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from workflow_scripts.timecat.runtime import sole_writer as module
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

WRITER = """
import sys
from pathlib import Path
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

with sole_writer(sys.argv[1], "train."):
    (Path(sys.argv[1]) / ".train.beton.99.tmp").write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.read()
    (Path(sys.argv[1]) / ".train.beton.99.tmp").rename(Path(sys.argv[1]) / "train.beton")
"""

# os.open fails if two processes hold the lock at the same time, since the other one's mark then exists.
STRESS = """
import os, sys
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

mark = os.path.join(sys.argv[1], "mark")
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with sole_writer(sys.argv[1], "train."):
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        os.unlink(mark)
"""


class Process:
    """Python process; ``said`` collects its output on standard output and standard error."""

    def __init__(self, root, code, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = {"stdout": "", "stderr": ""}
        self.threads = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self.said]
        for thread in self.threads:
            thread.start()

    def _read(self, name):
        for line in getattr(self.process, name):
            self.said[name] += line

    def until(self, name, text):
        """Wait until the process has written ``text`` to the stream ``name``."""
        deadline = time.monotonic() + 30
        while text not in self.said[name]:
            assert time.monotonic() < deadline, f"never said {text!r} but {self.said}"
            time.sleep(0.01)
        return self

    def end(self) -> int:
        """Let the process run to its end, and return its exit status."""
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(timeout=60)
        for thread in self.threads:
            thread.join()
        return status


@pytest.fixture
def start(root):
    """Function that runs code in a new Process, which is killed after the test."""
    started = []

    def start(code, *arguments):
        started.append(Process(root, code, *arguments))
        return started[-1]

    yield start
    for writer in started:
        writer.process.kill()
        writer.process.wait()


def names(folder) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def test_a_second_process_waits_for_the_lock(start, tmp_path):
    """The second process logs that it waits."""
    first = start(WRITER, tmp_path).until("stdout", "writing")
    second = start(WRITER, tmp_path).until("stderr", "waiting")
    time.sleep(0.3)
    assert second.said["stdout"] == ""
    assert second.said["stderr"] == (
        f"waiting: another process still writes this output and holds the lock {tmp_path / '.train.lock'}\n"
    )
    assert ".train.beton.99.tmp" in names(tmp_path)  # belongs to the first process, which still writes
    assert first.end() == 0 and first.said["stderr"] == ""
    second.until("stdout", "writing")
    assert second.end() == 0
    assert names(tmp_path) == {"train.beton"}


def test_a_killed_process_holds_no_lock(start, tmp_path):
    first = start(WRITER, tmp_path).until("stdout", "writing")
    second = start(WRITER, tmp_path).until("stderr", "waiting")
    first.process.send_signal(signal.SIGKILL)
    second.until("stdout", "writing")
    assert second.end() == 0
    third = start(WRITER, tmp_path).until("stdout", "writing")
    third.process.send_signal(signal.SIGKILL)
    assert third.wait() == -signal.SIGKILL
    assert names(tmp_path) == {".train.lock", ".train.beton.99.tmp", "train.beton"}
    with sole_writer(tmp_path, "train."):
        assert names(tmp_path) == {".train.lock", "train.beton"}
    assert names(tmp_path) == {"train.beton"}


def test_writers_of_different_outputs_do_not_wait(start, tmp_path):
    start(WRITER, tmp_path).until("stdout", "writing")
    with sole_writer(tmp_path, "evaluation."):
        assert {".train.lock", ".evaluation.lock", ".train.beton.99.tmp"} <= names(tmp_path)


def test_only_temporary_files_of_killed_processes_are_removed(tmp_path):
    left = {".train.beton.1.tmp", ".train.beton.json.22.tmp", "..train.beton.resume.pt.3.tmp", ".evaluation.x.4.tmp"}
    others = {".trainee.beton.1.tmp", ".holdout.beton.1.tmp", "train.beton.1.tmp", ".train.beton.tmp2", "train.beton"}
    for name in left | others:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".train.folder.tmp").mkdir()
    with sole_writer(tmp_path, "train.", "evaluation."):
        assert names(tmp_path) == others | {".train.folder.tmp", ".train.lock"}
    assert names(tmp_path) == others | {".train.folder.tmp"}


def test_no_lock_is_left_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), sole_writer(tmp_path / "new" / "folder", "train."):
        raise RuntimeError
    assert names(tmp_path / "new" / "folder") == set()


def test_a_file_system_without_locks_is_logged(tmp_path, monkeypatch, capsys):
    """The job writes without a lock and asks the user to avoid other runs."""

    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with sole_writer(tmp_path, "train."):
        pass
    assert capsys.readouterr().err == (
        f"{tmp_path / '.train.lock'} cannot be locked (No locks available): make sure that no other run writes in this "
        "folder\n"
    )


def test_two_waiters_never_write_together(start, tmp_path):
    writers, times = 6, 400
    processes = [start(STRESS, tmp_path, times) for _ in range(writers)]
    for writer in processes:  # all have started when the first one begins
        writer.process.stdin.write("\n")
        writer.process.stdin.flush()
    assert [writer.wait() for writer in processes] == [0] * writers, [
        writer.said["stderr"][-600:] for writer in processes
    ]
    assert names(tmp_path) == set()
