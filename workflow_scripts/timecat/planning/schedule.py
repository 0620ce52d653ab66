"""Simulate the scheduling of a study's jobs on a number of devices."""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

NEAR = 1.01  # a wall-clock time within this factor of the shortest counts as equally good


@dataclass(frozen=True)
class Task:
    """One job as a scheduler sees it.

    devices: number of devices that the job holds from start to end. needs: positions in the list of tasks of the tasks
    that it needs, all before its own position.
    """

    name: str
    seconds: float
    devices: int
    needs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """Result of a simulation.

    starts, ends: times at which each task starts and ends, in seconds. makespan: time at which the last task ends.
    utilisation: fraction of the device-seconds until then during which tasks hold the devices.
    """

    starts: list[float]
    ends: list[float]
    makespan: float
    utilisation: float


class _Ready:
    """Tasks that have not started and whose needs have all ended."""

    def __init__(self, tasks: list[Task]):
        self._tasks = tasks
        self._waiting_for = [len(set(task.needs)) for task in tasks]
        self._followers: list[list[int]] = [[] for _ in tasks]
        self._places: dict[int, list[int]] = {task.devices: [] for task in tasks}  # heaps, by devices requested
        for place, task in enumerate(tasks):
            for need in set(task.needs):
                self._followers[need].append(place)
            if not task.needs:
                self._add(place)

    def _add(self, place: int) -> None:
        heapq.heappush(self._places[self._tasks[place].devices], place)

    def take(self, free: float) -> int | None:
        """Remove and return the first task that fits on the free devices, or None if there is none."""
        fitting = [places for asked, places in self._places.items() if places and asked <= free]
        return heapq.heappop(min(fitting, key=lambda places: places[0])) if fitting else None

    def end(self, place: int) -> None:
        """Record the end of a task; tasks that needed only this one become ready."""
        for follower in self._followers[place]:
            self._waiting_for[follower] -= 1
            if not self._waiting_for[follower]:
                self._add(follower)


def simulate(tasks: list[Task], devices: float) -> Schedule:
    """Simulate list scheduling: whenever a task ends, ready tasks start in their order while devices are free.

    As in Snakemake, a task that requests more devices than are free waits, and a later, smaller task may start before
    it. (Among jobs that fit, Snakemake may choose a different order.) Raise ValueError if a task requests more devices
    than exist.
    """
    for task in tasks:
        if task.devices > devices:
            raise ValueError(f"{task.name} requests {task.devices} of {devices} devices")
    ready, now, free = _Ready(tasks), 0.0, devices
    running: list[tuple[float, int]] = []
    starts, ends = [0.0] * len(tasks), [0.0] * len(tasks)
    while True:
        while (place := ready.take(free)) is not None:
            free -= tasks[place].devices
            starts[place], ends[place] = now, now + tasks[place].seconds
            heapq.heappush(running, (ends[place], place))
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] <= now:
            _, ended = heapq.heappop(running)
            free += tasks[ended].devices
            ready.end(ended)
    makespan = max(ends, default=0.0)
    held = work(tasks)
    return Schedule(starts, ends, makespan, held / (devices * makespan) if makespan and devices < math.inf else 0.0)


def work(tasks: list[Task]) -> float:
    """Return the sum of the device-seconds of all tasks."""
    return sum(task.seconds * task.devices for task in tasks)


def critical_path(tasks: list[Task]) -> list[int]:
    """Return the positions of the tasks in the longest chain, in which each task needs the previous one."""
    best: list[float] = []
    before: list[int | None] = []
    for task in tasks:
        last = max(task.needs, key=lambda need: best[need], default=None)
        before.append(last)
        best.append(task.seconds + (best[last] if last is not None else 0.0))
    path: list[int] = []
    place = max(range(len(best)), key=best.__getitem__, default=None)
    while place is not None:
        path.append(place)
        place = before[place]
    return path[::-1]


def enough_devices(tasks_on: Callable[[float], list[Task]]) -> int:
    """Return the smallest number of devices whose makespan is at most NEAR times the makespan with unlimited devices.

    tasks_on: function from a number of devices to the tasks, whose requests the number may limit. The result is found
    by bisection, which assumes that more devices never take longer; list scheduling has rare exceptions.
    """
    target = NEAR * simulate(tasks_on(math.inf), math.inf).makespan
    low, high = 0, 1
    while simulate(tasks_on(high), high).makespan > target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if simulate(tasks_on(middle), middle).makespan > target:
            low = middle
        else:
            high = middle
    return high
