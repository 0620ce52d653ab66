"""Processes that are timed: without GPUs, at once, each on a core of its own."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tests.studies import ROOT


def side_by_side(sides: list) -> list:
    """The results of the functions, which run at once, each with its processes on a core of its own (on one: in turn)."""
    cores = sorted(os.sched_getaffinity(0))[: len(sides)]

    def on_a_core(number: int):
        os.sched_setaffinity(0, {cores[number % len(cores)]})  # of this thread, and of the processes that it starts
        return sides[number]()

    with ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(on_a_core, range(len(sides))))


def process(command: list[str]) -> str:
    """Run a process without GPUs; what it logged. RuntimeError if it fails."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{done.stderr[-3000:]}")
    return done.stderr
