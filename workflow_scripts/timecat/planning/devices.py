"""Estimate the wall-clock time of a planned study on a number of devices, and what limits it."""

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
    """Jobs as tasks for a scheduler on a number of devices.

    pretrain_gpus: number of GPUs of one pretraining job (None: the number in the config).
    """

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
        """Return the jobs as tasks on a machine with this many devices."""
        return [
            Task(f"{job.rule} {job.name}", self.costs.seconds(job, devices), self.costs.devices(job, devices), needs)
            for job, needs in zip(self._jobs, self._needs)
        ]

    def wall_clock(self, devices: float) -> float:
        """Return the seconds until all jobs have finished on this many devices."""
        return simulate(self.tasks(devices), devices).makespan

    @cached_property
    def enough(self) -> int:
        """Number of devices beyond which further devices hardly shorten the study (see schedule.NEAR)."""
        return enough_devices(self.tasks)

    @cached_property
    def shortest(self) -> float:
        """Wall-clock seconds with unlimited devices."""
        return self.wall_clock(math.inf)

    def chain(self) -> str:
        """Return the critical path with unlimited devices as text: its rules in order, with their times."""
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
        """Fraction of the longest chain's time that its pretraining jobs take."""
        tasks = self.tasks(math.inf)
        path = critical_path(tasks)
        trained = sum(tasks[place].seconds for place in path if self._jobs[place].rule == "pretrain")
        return trained / sum(tasks[place].seconds for place in path)

    def bound(self, devices: int) -> str:
        """Return what limits the wall-clock time on this many devices, in a few words."""
        tasks = self.tasks(devices)
        longest = sum(tasks[place].seconds for place in critical_path(tasks))
        return "the longest chain" if longest >= work(tasks) / devices else "the number of devices"


def wall_clock_table(cases: list[OnDevices], numbers: list[int]) -> str:
    """Return a table with a row per case and number of devices: time, utilisation and lower bounds."""
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
    """Return a text that says how many devices are useful, which chain of jobs is longest, and what shortens it."""
    unit, costs = case.costs.unit, case.costs
    gpus = case.pretrain_gpus or study.config.limits.pretrain_gpus
    trains = any(job.rule == "pretrain" for job in case.jobs) and not costs.is_cpu
    which = f" with pretrain_gpus: {gpus}" if trains else ""
    lines = [
        f"More than {case.enough:,} {unit}s{which} save at most 1 % of the time: the study takes at least "
        f"{duration(case.shortest)}. That is the longest chain: {case.chain()}."
    ]
    if trains and case.pretraining_share > 0.5:
        lines.append(
            f"Pretraining takes {case.pretraining_share:.1%} of it, because the milestones of a seed follow one "
            "another: a larger limits.pretrain_gpus shortens it."
        )
    if trains:
        lines += _caveats(study.config.pretrain, gpus)
    return "\n".join(textwrap.fill(line, WIDTH) for line in lines)


def _caveats(pretrain: Pretrain, gpus: int) -> list[str]:
    """Return warnings about this many GPUs for one pretraining job of a recipe (the config's block ``pretrain``)."""
    lines, used = [], usable_gpus(pretrain, gpus)
    if used < gpus:
        lines.append(
            f"A job uses {used} of {gpus} GPUs, because more cannot share a batch of {pretrain.batch_size} equally."
        )
    images, group = pretrain.batch_size // used, pretrain.ghost_batch or pretrain.batch_size // pretrain.accumulation
    if images < group:
        lines.append(
            f"With {used} GPUs, each has {images} images of a batch of {pretrain.batch_size:,}. Batch norm computes "
            f"its statistics from {group} images, so in every layer {group // images} GPUs have to exchange them. "
            "The time is a lower bound, because this case has not been measured."
        )
    return lines
