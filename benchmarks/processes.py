"""Run and time processes without GPUs, side by side, each on a separate core."""

import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.support.studies import ROOT


class Done(NamedTuple):
    """A process that has ended: its standard error, wall-clock seconds and seconds of processor time."""

    log: str
    seconds: float
    processor_seconds: float


def process(command: list[str]) -> Done:
    """Run a process until it ends. Raise RuntimeError if it fails."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+") as log:
        begin = time.perf_counter()
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(running.pid, 0)
        seconds = time.perf_counter() - begin
        running.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    if running.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{text[-3000:]}")
    return Done(text, seconds, usage.ru_utime + usage.ru_stime)


def side_by_side(sides: list) -> list:
    """Run functions at the same time, each with its processes on a separate core.

    On a machine with one core, run them one after the other.
    """
    cores = sorted(os.sched_getaffinity(0))[: len(sides)]

    def on_a_core(number: int):
        os.sched_setaffinity(0, {cores[number % len(cores)]})  # for this thread and the processes that it starts
        return sides[number]()

    with ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(on_a_core, range(len(sides))))
