"""Run a stage's command line: parse options, write log lines, and report a user's mistake without a traceback."""

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workflow_scripts.timecat.artifacts import project
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.forkserver import client

MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)  # disk full, over quota, not allowed, read-only


def parser(description: str) -> argparse.ArgumentParser:
    """Return an argument parser for a stage. Add JSON-valued options with ``type=json_of(TYPE)`` (json_arguments)."""
    return argparse.ArgumentParser(description=description, allow_abbrev=False)


def log(message: str) -> None:
    """Write one line to the stage's log (standard error, which the rule redirects to its log file)."""
    print(message, file=sys.stderr, flush=True)


_work_began: tuple[float, float] | None = None  # result of _clocks() when the work began
forked = False  # whether this process is a fork of the forkserver


def _clocks() -> tuple[float, float]:
    """Return wall seconds and CPU seconds. The CPU seconds include child processes that have been waited for."""
    times = os.times()
    return time.monotonic(), times.user + times.system + times.children_user + times.children_system


def log_start_up() -> None:
    """Log how long the process took to start. Call this after the imports, when the work begins."""
    global _work_began
    _work_began = _clocks()
    # The process's start in clock ticks since boot is the 22nd field; the 2nd, its name, may hold spaces.
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    log(f"start-up {seconds:.2f} s" + (", as a fork" if forked else ""))


def _log_work() -> None:
    """Log the wall and CPU seconds since log_start_up was called.

    Without that call, or at a second call of this function, do not log them.
    """
    global _work_began
    if _work_began is not None:
        seconds, cpu = (now - then for now, then in zip(_clocks(), _work_began))
        log(f"work {seconds:.2f} s, {cpu:.2f} s of CPU")
    _work_began = None


_threads_live_on = False


def threads_live_on(live_on: bool) -> None:
    """Record whether threads run that may abort the process (SIGABRT) while Python exits.

    If they do, an exit status other than 0 would be lost, so ``run`` then ends the process with os._exit.
    """
    global _threads_live_on
    _threads_live_on = live_on


def run(main: Callable[[], object]) -> None:
    """Run a stage's ``main()`` and log its time. Report an error that the user can correct without a traceback.

    These errors (UserError, a full disk, too little GPU memory) end the process with a one-line error message and exit
    code 1. All other errors keep their traceback. If Snakemake has started a forkserver, a fork of the server runs
    ``main()``, and this process ends with the exit status of the fork.
    """
    client.hand_over()
    try:
        _run(main)
    except BaseException as error:
        if not _threads_live_on:
            raise
        # main() has cleaned up already, so only the error remains to be reported.
        status = status_of(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status_of(error: BaseException) -> int:
    """Print an uncaught error as Python does (traceback or exit message), and return the exit status for it."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        log(str(error.code))
        return 1
    sys.excepthook(type(error), error, error.__traceback__)
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def _run(main: Callable[[], object]) -> None:
    try:
        project.check()
        main()
        _log_work()
    except UserError as error:
        log(f"error: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        log(f"error: {error.filename or 'a file'} cannot be written or read ({error.strerror}): fix this and run again")
        sys.exit(1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's class; torch is not imported here
            raise
        log(
            f"error: the GPU's memory is too small ({str(error).splitlines()[0]}): raise pretrain.accumulation, or lower the "
            "batch_size of features, probe, finetune or direct, in the config"
        )
        sys.exit(1)
