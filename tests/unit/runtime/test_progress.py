"""Test that progress is a few lines in a log file, and a bar only in a terminal."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
import textwrap

import pytest

from workflow_scripts.timecat.runtime.progress import LINES, Progress


def lines(capsys, total, counts, done=0, note="") -> list[str]:
    """Return the lines that are logged while ``counts`` units are added one after another."""
    capsys.readouterr()
    progress = Progress(total, "title", "images", done=done)
    for count in counts:
        progress.advance(count, note)
    progress.close()
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 6, 7, 9, 99, 100, 101, 1234])
@pytest.mark.parametrize("batch", [1, 2, 7, 500])
def test_a_log_has_few_lines_of_progress(capsys, total, batch):
    """The last line shows the total, and no line is repeated."""
    counts = [min(batch, total - done) for done in range(0, total, batch)]
    found = lines(capsys, total, counts)
    assert 1 <= len(found) <= min(LINES + 1, len(counts))
    assert found[-1] == f"title: {total} of {total} images"
    shown = [int(re.fullmatch(rf"title: (\d+) of {total} images", line)[1]) for line in found]
    assert shown == sorted(set(shown))


def test_the_lines_of_a_log_are_spread_evenly(capsys):
    assert lines(capsys, 100, [1] * 100) == [f"title: {done} of 100 images" for done in (20, 40, 60, 80, 100)]


def test_a_resumed_job_counts_from_where_it_stopped(capsys):
    assert lines(capsys, 100, [1] * 50, done=50) == [f"title: {done} of 100 images" for done in (60, 80, 100)]
    assert lines(capsys, 100, [1], done=99) == ["title: 100 of 100 images"]
    assert lines(capsys, 100, [], done=100) == []


def test_the_note_is_shown_after_the_line(capsys):
    assert lines(capsys, 1, [1], note="loss 0.5") == ["title: 1 of 1 images, loss 0.5"]


JOB = """
import time
from workflow_scripts.timecat.runtime.progress import Progress

progress = Progress(40, "pretrain", "steps", done=10)
for _ in range(30):
    time.sleep(0.01)
    progress.advance(note="loss 0.5")
progress.close()
"""


def run(root, error) -> None:
    command = [sys.executable, "-c", textwrap.dedent(JOB)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TQDM_")}  # may hide it
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=error, timeout=60)


def test_a_terminal_gets_a_bar(root):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))  # a terminal without a size gets no bar
    os.set_blocking(ours, False)
    run(root, theirs)
    said = b""
    with contextlib.suppress(BlockingIOError):  # until everything is read
        while True:
            said += os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    said = said.decode()
    assert said.count("\r") > 3 and "pretrain:" in said and "%|" in said and "loss 0.5" in said
    assert "of 40 steps" not in said and "\n" not in said.strip()
    assert re.search(r"(\d+)/40", said)[1] == "10"  # the bar starts at the job's first step
    assert said.rstrip("\r").endswith(" ")  # the bar is wiped away


def test_a_file_gets_lines_and_no_bar(root, tmp_path):
    with open(tmp_path / "log", "wb") as file:
        run(root, file)
    wanted = "".join(f"pretrain: {done} of 40 steps, loss 0.5\n" for done in (16, 24, 32, 40))
    assert (tmp_path / "log").read_text() == wanted
