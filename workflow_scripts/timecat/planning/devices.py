"""The wall-clock time of a planned study on so many devices, and what it is bound by."""

import math
import textwrap
from dataclasses import dataclass, replace
from functools import cached_property

from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.planning.costs import Costs, usable_gpus
from workflow_scripts.timecat.planning.jobs import Job
from workflow_scripts.timecat.planning.schedule import Task, critical_path, enough_devices, simulate, work
from workflow_scripts.timecat.planning.text import WIDTH, duration, table
from workflow_scripts.timecat.study.study import Study


@dataclass(frozen=True)
class OnDevices:
    """Jobs as tasks for a scheduler, with so many GPUs for one pretraining job (None: as the config says)."""

    jobs: list[Job]
    costs: Costs
    pretrain_gpus: int | None = None

    @cached_property
    def _jobs(self) -> list[Job]:
        if self.pretrain_gpus is None:
            return self.jobs
        return [replace(job, devices=self.pretrain_gpus) if job.rule == "pretrain" else job for job in self.jobs]

    @cached_property
    def _needs(self) -> list[tuple[int, ...]]:
        places = {job.dag: place for place, job in enumerate(self.jobs)}
        return [tuple(sorted(places[need] for need in job.dag.needs if need in places)) for job in self.jobs]

    def tasks(self, devices: float) -> list[Task]:
        """The jobs where so many devices exist."""
        return [
            Task(f"{job.rule} {job.name}", self.costs.seconds(job, devices), self.costs.devices(job, devices), needs)
            for job, needs in zip(self._jobs, self._needs)
        ]

    def wall_clock(self, devices: float) -> float:
        """Seconds until the table is there."""
        return simulate(self.tasks(devices), devices).makespan

    @cached_property
    def enough(self) -> int:
        """The number of devices past which nothing gets faster."""
        return enough_devices(self.tasks)

    @cached_property
    def shortest(self) -> float:
        """Seconds, with as many devices as one likes."""
        return self.wall_clock(math.inf)

    def chain(self) -> str:
        """The critical path with as many devices as one likes, in words: rules in a row, and how long they take."""
        tasks = self.tasks(math.inf)
        parts: list[tuple[str, int, float, str]] = []  # rule, jobs, seconds, name of the last job
        for place in critical_path(tasks):
            rule = self._jobs[place].rule
            if parts and parts[-1][0] == rule:
                parts[-1] = (rule, parts[-1][1] + 1, parts[-1][2] + tasks[place].seconds, self._jobs[place].name)
            else:
                parts.append((rule, 1, tasks[place].seconds, self._jobs[place].name))
        return ", ".join(
            f"{f'{number} x ' if number > 1 else ''}{rule} ({'up to ' if number > 1 else ''}{name}: "
            f"{duration(seconds)})"
            for rule, number, seconds, name in parts
        )

    @cached_property
    def pretraining_share(self) -> float:
        """Of the longest chain's time, as a fraction."""
        tasks = self.tasks(math.inf)
        path = critical_path(tasks)
        trained = sum(tasks[place].seconds for place in path if self._jobs[place].rule == "pretrain")
        return trained / sum(tasks[place].seconds for place in path)

    def bound(self, devices: int) -> str:
        """What the wall-clock time on so many devices is bound by, in a word or two."""
        tasks = self.tasks(devices)
        longest = sum(tasks[place].seconds for place in critical_path(tasks))
        return "the longest chain" if longest >= work(tasks) / devices else "the number of devices"


def wall_clock_table(cases: list[OnDevices], numbers: list[int]) -> str:
    """A row for each number of devices and each case: time, what devices are used, the bounds."""
    unit = cases[0].costs.unit
    several = any(case.pretrain_gpus is not None for case in cases)
    rows = [
        [
            f"{unit}s",
            *(["pretrain_gpus"] if several else []),
            "wall-clock",
            "in use",
            "longest chain",
            f"work / {unit}s",
            "bound by",
        ]
    ]
    for case in cases:
        for number in numbers:
            tasks = case.tasks(number)
            schedule = simulate(tasks, number)
            rows.append(
                [
                    f"{number:,}",
                    *([str(case.pretrain_gpus)] if several else []),
                    duration(schedule.makespan),
                    f"{schedule.utilisation:.0%}",
                    duration(sum(tasks[place].seconds for place in critical_path(tasks))),
                    duration(work(tasks) / number),
                    case.bound(number),
                ]
            )
    return table(rows, left=0)


def saturation(case: OnDevices, study: Study) -> str:
    """Where more devices stop helping, the chain that is left, and what shortens it."""
    unit, costs = case.costs.unit, case.costs
    gpus = case.pretrain_gpus or study.config.limits.pretrain_gpus
    trains = any(job.rule == "pretrain" for job in case.jobs) and not costs.is_cpu
    which = f" with pretrain_gpus: {gpus}" if trains else ""
    lines = [
        f"Past {case.enough:,} {unit}s nothing gets faster{which} (by more than 1 %): {duration(case.shortest)} are "
        f"left, whatever there is. That is the longest chain: {case.chain()}."
    ]
    if trains and case.pretraining_share > 0.5:
        lines.append(
            f"{case.pretraining_share:.1%} of it is pretraining, one seed's milestones one after the other: a larger "
            "limits.pretrain_gpus shortens it."
        )
    if trains:
        lines += _caveats(study.config.pretrain, gpus)
    return "\n".join(textwrap.fill(line, WIDTH) for line in lines)


def _caveats(pretrain: Pretrain, gpus: int) -> list[str]:
    """What is to be said of so many GPUs for one pretraining job of a recipe (the config's block)."""
    lines, used = [], usable_gpus(pretrain, gpus)
    if used < gpus:
        lines.append(
            f"Of {gpus} GPUs a job uses {used}, since a batch of {pretrain.batch_size} cannot be divided otherwise."
        )
    images, group = pretrain.batch_size // used, pretrain.ghost_batch or pretrain.batch_size // pretrain.accumulation
    if images < group:
        lines.append(
            f"But {used} GPUs have {images} images each of a batch of {pretrain.batch_size:,}: batch norm's "
            f"statistics, of {group} images, then go over {group // images} GPUs in every layer. Take the time as a "
            "lower bound, for nobody has measured it."
        )
    return lines
