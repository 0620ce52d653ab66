"""Images per second, by the clock and by processor time, of actions in turn."""

import resource
import statistics
from typing import NamedTuple

from benchmarks.timing import REPEATS, seconds_of


class Rate(NamedTuple):
    """Images per second by the clock, and per second of processor time of all threads and worker processes."""

    clock: float
    core: float


def cpu_seconds() -> float:
    """Of this process with its threads, and of its child processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def rates(actions: dict, images: int, repeats: int = REPEATS) -> dict[str, Rate]:
    """Median rates of each action, run in turn (a b c, a b c, ...) after one round that is not counted."""
    found = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name, action in actions.items():
            begin = cpu_seconds()
            seconds = seconds_of(action)
            if repeat:
                found[name].append((images / seconds, images / (cpu_seconds() - begin)))
    return {name: Rate(*map(statistics.median, zip(*values))) for name, values in found.items()}
