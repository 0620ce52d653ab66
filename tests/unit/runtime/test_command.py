"""Test that a stage reports a user's mistake in one line, and a bug with a traceback."""

import errno
import re
import subprocess
import sys

import pytest

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import command


class OutOfMemoryError(RuntimeError):
    """Error with the name of torch's error for a full GPU."""


def ending(error: Exception):
    """Return a ``main`` function that raises ``error``."""

    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("pretrain.lr is too high; lower it"), ["error: pretrain.lr is too high; lower it"]),
        (OSError(errno.ENOSPC, "No space left on device", "results/x"), ["results/x", "No space left", "run again"]),
        (PermissionError(errno.EACCES, "Permission denied", "results/x"), ["results/x", "Permission denied"]),
        (OutOfMemoryError("CUDA out of memory. Tried\nmore"), ["CUDA out of memory. Tried)", "pretrain.accumulation"]),
    ],
)
def test_an_error_that_the_user_can_correct_is_one_line(error, words, capsys):
    with pytest.raises(SystemExit) as ended:
        command.run(ending(error))
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words) and said.count("\n") == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("a mistake"), OSError(errno.EBADF, "Bad file descriptor"), KeyError("x")]
)
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        command.run(ending(error))


def test_a_stage_logs_the_time_of_its_start_and_its_work(capsys):
    def main():
        command.log_start_up()
        sum(range(10**6))

    command.run(main)
    command.run(lambda: None)  # a stage that does not log its start logs no work either
    start_up, work = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"start-up \d+\.\d\d s", start_up)
    assert re.fullmatch(r"work \d+\.\d\d s, \d+\.\d\d s of CPU", work)


ENDING = """
import atexit, os, sys
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.errors import UserError

def main():
    command.threads_live_on(True)
    atexit.register(os.abort)  # as the threads of gloo sometimes do
    print("printed", end="")
    try:
        raise ERROR
    finally:
        sys.stderr.write("undone, ")

command.run(main)
"""


@pytest.mark.parametrize(
    ("error", "status", "last"),
    [
        ("SystemExit(3)", 3, "undone, "),
        ("SystemExit('some words')", 1, "undone, some words\n"),
        ("UserError('fix it')", 1, "undone, error: fix it\n"),
        ("KeyError('x')", 1, "KeyError: 'x'\n"),
        ("KeyboardInterrupt()", 130, "KeyboardInterrupt\n"),
    ],
)
def test_threads_that_abort_at_exit_do_not_change_the_status(root, error, status, last):
    """The error message does not change, either."""
    command_line = [sys.executable, "-c", ENDING.replace("ERROR", error)]
    done = subprocess.run(command_line, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, "printed")
    assert done.stderr.startswith("undone, ") and done.stderr.endswith(last)
    assert ("Traceback" in done.stderr) == (last.startswith("Key"))
