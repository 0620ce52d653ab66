"""A study's jobs on so many devices: who waits for what, and until when. Pure arithmetic on tasks."""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

NEAR = 1.01  # a wall-clock time that is within this factor of the shortest is as good


@dataclass(frozen=True)
class Task:
    """A job as a scheduler sees it. devices: that it holds from start to end (0: none). needs: places of the tasks
    before it, all smaller than its own."""

    name: str
    seconds: float
    devices: int
    needs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """When each task starts and ends, in seconds; makespan: when the last one ends. utilisation: share of the devices'
    time until then that tasks hold."""

    starts: list[float]
    ends: list[float]
    makespan: float
    utilisation: float


class _Ready:
    """The tasks whose needs are met and that have not started."""

    def __init__(self, tasks: list[Task]):
        self._tasks = tasks
        self._waiting_for = [len(set(task.needs)) for task in tasks]
        self._followers: list[list[int]] = [[] for _ in tasks]
        self._places: dict[int, list[int]] = {task.devices: [] for task in tasks}  # heaps, by devices asked for
        for place, task in enumerate(tasks):
            for need in set(task.needs):
                self._followers[need].append(place)
            if not task.needs:
                self._add(place)

    def _add(self, place: int) -> None:
        heapq.heappush(self._places[self._tasks[place].devices], place)

    def take(self, free: float) -> int | None:
        """Take the first task that these free devices suffice for; None if there is none."""
        fitting = [places for asked, places in self._places.items() if places and asked <= free]
        return heapq.heappop(min(fitting, key=lambda places: places[0])) if fitting else None

    def end(self, place: int) -> None:
        """Note that a task has ended."""
        for follower in self._followers[place]:
            self._waiting_for[follower] -= 1
            if not self._waiting_for[follower]:
                self._add(follower)


def simulate(tasks: list[Task], devices: float) -> Schedule:
    """List scheduling: whenever something ends, tasks whose needs are met start, in their order, if devices are free.

    As Snakemake does it: what does not fit waits, and a smaller one behind it may start. (Among jobs that fit,
    Snakemake's own order may be another.) Raises ValueError for a task that asks for more devices than there are.
    """
    for task in tasks:
        if task.devices > devices:
            raise ValueError(f"{task.name} asks for {task.devices} of {devices} devices")
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
    """Device-seconds of all tasks."""
    return sum(task.seconds * task.devices for task in tasks)


def critical_path(tasks: list[Task]) -> list[int]:
    """Places of the chain of tasks, each needing the one before, that takes longest. No devices shorten it."""
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
    """The smallest number of devices with which the makespan is within NEAR of that with as many as one likes.

    tasks_on: the tasks for a number of devices, which may bound what a task takes. Found by bisection: that more
    devices never take longer is true but for accidents of list scheduling.
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
