"""Tests of the plan's scheduler on small graphs with known times and on random graphs with known bounds."""

import itertools
import math
import random

import pytest

from workflow_scripts.timecat.planning.schedule import Task, critical_path, enough_devices, simulate, work


def independent(count: int, seconds: float = 1.0, devices: int = 1) -> list[Task]:
    """Return tasks that need no other task."""
    return [Task(str(place), seconds, devices) for place in range(count)]


def chains(count: int, length: int) -> list[Task]:
    """Return the tasks of ``count`` parallel chains, chain after chain."""
    return [
        Task(f"{chain}.{link}", 1.0, 1, (chain * length + link - 1,) if link else ())
        for chain in range(count)
        for link in range(length)
    ]


def random_graph(seed: int) -> list[Task]:
    """Return 30 tasks with random times, numbers of devices and needs."""
    draw = random.Random(seed)
    return [
        Task(
            str(place),
            draw.choice([0.5, 1.0, 3.0, 10.0]),
            draw.choice([0, 1, 1, 2, 4]),
            tuple(draw.sample(range(place), min(place, draw.randint(0, 3)))),
        )
        for place in range(30)
    ]


@pytest.mark.parametrize("devices, makespan", [(1, 7), (2, 4), (3, 3), (6, 2), (7, 1), (100, 1)])
def test_independent_tasks_share_the_devices(devices, makespan):
    schedule = simulate(independent(7), devices)
    assert schedule.makespan == makespan
    assert schedule.utilisation == pytest.approx(7 / (devices * makespan))


@pytest.mark.parametrize("devices, makespan", [(1, 15), (2, 9), (3, 6), (5, 3), (50, 3)])
def test_parallel_chains_have_the_expected_makespan(devices, makespan):
    """On two devices, list scheduling runs two of the five chains, two more, then the last one."""
    assert simulate(chains(5, 3), devices).makespan == makespan


def test_a_diamond_of_tasks_is_scheduled_in_order():
    tasks = [Task("a", 1, 1), Task("b", 5, 1, (0,)), Task("c", 2, 1, (0,)), Task("d", 1, 1, (1, 2))]
    assert simulate(tasks, 1).makespan == 9
    schedule = simulate(tasks, 2)
    assert schedule.makespan == 7
    assert schedule.starts == [0, 1, 1, 6] and schedule.ends == [1, 6, 3, 7]
    assert critical_path(tasks) == [0, 1, 3]


def test_a_smaller_task_may_start_before_one_that_does_not_fit():
    tasks = [Task("long", 4, 1), Task("wide", 1, 2), Task("small", 3, 1)]
    schedule = simulate(tasks, 2)
    assert schedule.starts == [0, 4, 0] and schedule.makespan == 5


def test_tasks_without_devices_start_immediately():
    tasks = [Task("busy", 10, 1), Task("free", 2, 0), Task("free, too", 2, 0), Task("after", 1, 1, (1, 2))]
    schedule = simulate(tasks, 1)
    assert schedule.starts == [0, 0, 0, 10]
    assert schedule.utilisation == 1


def test_tasks_that_end_together_free_devices_at_the_same_time():
    tasks = [Task("a", 1, 1), Task("b", 1, 1), Task("both", 1, 2, (0, 1)), Task("small", 5, 1, (0,))]
    assert simulate(tasks, 2).starts[2] == 1, "the first task in the list gets both devices"


def test_a_task_with_more_devices_than_exist_is_refused():
    """An empty list of tasks is accepted and takes no time."""
    assert simulate([], 4).makespan == 0 and critical_path([]) == []
    with pytest.raises(ValueError, match="wide requests 3 of 2 devices"):
        simulate([Task("wide", 1, 3)], 2)


@pytest.mark.parametrize("seed", range(40))
def test_schedules_keep_to_needs_devices_and_lower_bounds(seed):
    """Lower bounds of the makespan: the critical path, and the device-seconds of all tasks per device."""
    tasks = random_graph(seed)
    longest = sum(tasks[place].seconds for place in critical_path(tasks))
    for devices in (4, 5, 7, 16, 1000):
        schedule = simulate(tasks, devices)
        assert schedule.makespan >= max(longest, work(tasks) / devices) - 1e-9
        for place, task in enumerate(tasks):
            assert schedule.ends[place] == schedule.starts[place] + task.seconds
            assert all(schedule.ends[need] <= schedule.starts[place] for need in task.needs)
        for now in schedule.starts:
            at_work = [p for p in range(len(tasks)) if schedule.starts[p] <= now < schedule.ends[p]]
            assert sum(tasks[place].devices for place in at_work) <= devices
    assert simulate(tasks, math.inf).makespan == pytest.approx(longest)
    assert simulate(tasks, sum(task.devices for task in tasks)).makespan == pytest.approx(longest)


@pytest.mark.parametrize("seed", range(10))
def test_the_critical_path_is_the_longest_chain(seed):
    tasks = random_graph(seed)[:12]
    path = critical_path(tasks)
    assert all(before in tasks[after].needs for before, after in itertools.pairwise(path))

    def longest_to(place: int) -> float:
        return tasks[place].seconds + max(map(longest_to, tasks[place].needs), default=0.0)

    assert sum(tasks[place].seconds for place in path) == pytest.approx(max(map(longest_to, range(len(tasks)))))


def test_list_scheduling_takes_at_most_twice_the_optimal_time():
    """Graham's bound for tasks with one device each: at most the work per device plus the critical path."""
    for seed in range(20):
        tasks = [Task(task.name, task.seconds, 1, task.needs) for task in random_graph(seed)]
        longest = sum(tasks[place].seconds for place in critical_path(tasks))
        for devices in (2, 3, 8):
            assert simulate(tasks, devices).makespan <= work(tasks) / devices + longest * (1 - 1 / devices) + 1e-9


@pytest.mark.parametrize("count", range(1, 24))
def test_the_smallest_sufficient_number_of_devices_is_found(count):
    assert enough_devices(lambda devices: chains(count, 3)) == count
    # A task that takes up to 8 devices and is faster in proportion.
    assert enough_devices(lambda devices: independent(1, 8 / min(devices, 8), min(devices, 8))) == 8
