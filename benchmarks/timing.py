"""Time actions side by side and describe the machine."""

import os
import platform
import statistics
import time
from pathlib import Path

from workflow_scripts.timecat.artifacts.sidecars import versions
from workflow_scripts.timecat.runtime.devices import visible_devices

REPEATS = 5


def seconds_of(action, clock=time.perf_counter) -> float:
    """Return the seconds that a call takes.

    clock: function that returns the time (default: wall-clock seconds; time.process_time: CPU seconds of this process).
    """
    begin = clock()
    action()
    return clock() - begin


def medians_side_by_side(actions: dict, repeats: int = REPEATS, clock=time.perf_counter) -> dict[str, float]:
    """Return the median seconds of each action.

    The actions are run in rounds (a b c, a b c, ...), of which the first is not counted.
    """
    times = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name, action in actions.items():
            seconds = seconds_of(action, clock)
            if repeat:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def machine() -> str:
    """Return a sentence with the machine's processor, GPUs and versions of software."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    parts = ", ".join(f"{name} {version}" for name, version in versions().items())
    gpus = ", ".join(visible_devices()) or "none"
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, GPUs: {gpus}; Python {platform.python_version()}, {parts}."
    )
