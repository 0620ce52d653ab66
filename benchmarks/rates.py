"""Measure the images per second of actions alternately, by wall-clock time and by processor time."""

import resource
import statistics
from typing import NamedTuple

from benchmarks.timing import REPEATS, seconds_of


class Rate(NamedTuple):
    """Images per second of wall-clock time, and per second of processor time of all threads and worker processes."""

    clock: float
    core: float


def cpu_seconds() -> float:
    """Return the processor seconds of this process with its threads and of its child processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def rates(actions: dict, images: int, repeats: int = REPEATS) -> dict[str, Rate]:
    """Return the median rates of each action.

    The actions are run in rounds (a b c, a b c, ...), of which the first is not counted.
    """
    found = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name, action in actions.items():
            begin = cpu_seconds()
            seconds = seconds_of(action)
            if repeat:
                found[name].append((images / seconds, images / (cpu_seconds() - begin)))
    return {name: Rate(*map(statistics.median, zip(*values))) for name, values in found.items()}
