"""Measure how seconds and memory of a study grow with images, checkpoints and arms, and the time of Snakemake itself.

A small study grows along one axis at a time, in one folder per axis. Files that a larger study shares with a smaller
one are not made again; for their jobs, the earlier measurement counts. Jobs run one at a time, so the time of Snakemake
itself is the wall time of a run minus the wall time of its jobs.
"""

import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.embedded_study import STAGES
from tests.support.studies import StudyFolder, jobs_of

FACTORS = (1, 2, 4, 8)
CONFIG = "config/growth.yaml"
WHOLE = {"whole study": "work", "whole study, wall": "wall"}
LINEAR = 2.3  # growth counts as linear if the last doubling costs at most this factor: two, plus the machine's noise
MOST = max(FACTORS)
WORK = re.compile(r"^work ([\d.]+) s, ([\d.]+) s of CPU$", re.MULTILINE)
CPU = re.compile(r"^cpu ([\d.]+) ([\d.]+)$", re.MULTILINE)
# Code that runs Snakemake in its process and prints the CPU seconds of Snakemake and of the jobs that it waited for.
MEASURED = """
import atexit, os, sys
def say():
    own = os.times()
    print(f"cpu {own.user + own.system:.3f} {own.children_user + own.children_system:.3f}", file=sys.stderr, flush=True)
atexit.register(say)
from snakemake.cli import main
main()
"""


@dataclass(frozen=True)
class Scale:
    """Size of the smallest study that is timed: training and evaluation rows, pretraining steps, network width, epochs."""

    train: int = 5000
    evaluation: int = 1500
    steps: int = 60
    width: int = 12
    epochs: int = 28


@dataclass(frozen=True)
class Run:
    """Measurements of a study of one size.

    work, wall: CPU and wall seconds of the study's jobs without their start-up, by stage. memory: peak memory in MB,
    by stage. jobs: number of the study's jobs, by stage. ran: number of jobs in this run, by rule. own, own_cpu:
    wall seconds and CPU seconds of Snakemake itself in this run. jobs_cpu: CPU seconds of the jobs in this run.
    """

    work: dict[str, float]
    wall: dict[str, float]
    memory: dict[str, float]
    jobs: dict[str, int]
    ran: dict[str, int]
    own: float
    own_cpu: float
    jobs_cpu: float


def study_config(scale: Scale, images: int = 1, checkpoints: int = 1, arms: int | None = None) -> dict:
    """Return the config of the small study with ``images`` times the images and these numbers of checkpoints and arms.

    Without ``arms``, the study has one arm with a replicate for each checkpoint. With ``arms``, each arm is a pair of
    checkpoints.
    """
    seeds = list(range(1, checkpoints + 1))
    if arms is None:
        rows = [{"name": "cat1", "members": 1, "steps": scale.steps}]
    else:
        ascending = [[a, b] for distance in range(1, checkpoints) for a, b in zip(seeds, seeds[distance:])]
        pairs = (ascending + [[b, a] for a, b in ascending])[:arms]
        rows = [
            {"name": f"pair{number}", "members": 2, "steps": scale.steps, "replicates": [pair]}
            for number, pair in enumerate(pairs)
        ]
    return {
        "source": "cues",
        "targets": ["cues"],
        "backbone": "small",
        "data_sets": {
            "cues": {"kind": "cues", "rows": {"train": images * scale.train, "evaluation": images * scale.evaluation}}
        },
        "backbones": {"small": {"architecture": "small_residual", "width": scale.width, "blocks": 3}},
        "pretrain": {"seeds": seeds, "batch_size": 64, "batch_norm_batches": 4},
        "arms": rows,
        "floors": None,  # with floors, the number of untrained networks would also grow with each axis
        "probe": {"epochs": scale.epochs, "lr": 0.1},
    }


def run(study: StudyFolder, config: dict) -> Run:
    """Run a study in a folder and return its measurements."""
    (study.path / CONFIG).write_text(yaml.safe_dump(config))
    command = study.command("--", "results/table2.csv", config=CONFIG, cores=1)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command[1:]],
        cwd=study.path,
        env=study.environment(),
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"snakemake failed:\n{done.stderr[-6000:]}")
    began = time.time() - wall
    work, passed, memory, jobs, new_seconds = {}, {}, {}, {}, 0.0
    for stage in STAGES:
        work[stage], passed[stage], memory[stage], jobs[stage] = 0.0, 0.0, 0.0, 0
        for path in sorted((study.path / "results/benchmarks" / stage).rglob("*.tsv")):
            header, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
            row = dict(zip(header, values))
            log = Path(str(path).replace("results/benchmarks", "results/logs")).with_suffix(".log").read_text()
            seconds, cpu = (float(part) for part in WORK.search(log).groups())
            work[stage] += cpu
            passed[stage] += seconds
            memory[stage] = max(memory[stage], float(row["max_rss"]) if row["max_rss"] not in ("-", "NA") else 0.0)
            jobs[stage] += 1
            new_seconds += float(row["s"]) if path.stat().st_mtime >= began else 0.0
    own_cpu, jobs_cpu = (float(part) for part in CPU.search(done.stderr).groups())
    return Run(work, passed, memory, jobs, jobs_of(done), wall - new_seconds, own_cpu, jobs_cpu)


def grow(scale: Scale, factors=FACTORS) -> dict[str, list[Run]]:
    """Return the runs of each axis, one per factor."""
    most, found = max(factors), {}
    with tempfile.TemporaryDirectory() as name:
        first = StudyFolder.fresh(Path(name) / "images")
        found["images"] = [run(first, study_config(scale))]
        second = first.copy(Path(name) / "checkpoints")
        found["images"] += [run(first, study_config(scale, images=factor)) for factor in factors[1:]]
        found["checkpoints"] = [found["images"][0]]
        found["checkpoints"] += [run(second, study_config(scale, checkpoints=factor)) for factor in factors[1:]]
        forget(second, "probe")  # the arms on this axis are not the arms measured before
        found["arms"] = [run(second, study_config(scale, checkpoints=most, arms=factor)) for factor in factors]
    return found


def forget(study: StudyFolder, stage: str) -> None:
    """Delete the benchmark files of a stage, so that its earlier jobs no longer count."""
    shutil.rmtree(study.path / "results/benchmarks" / stage)


def slope(factors, values) -> float:
    """Return the exponent of growth: the least-squares slope of log value against log factor."""
    x, y = [math.log(factor) for factor in factors], [math.log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def axis_table(axis: str, runs: list[Run], factors=FACTORS) -> list[str]:
    """Return a table of each stage's work and memory along an axis, and how they grow."""
    head = " | ".join(f"x {factor}" for factor in factors)
    lines = [
        f"| {axis}: stage | jobs | {head} | last doubling | exponent | peak memory, MB | last doubling |",
        f"|---|---|{'---:|' * len(factors)}---:|---:|---|---:|",
    ]
    for stage in [*STAGES, *WHOLE]:
        whole = stage in WHOLE
        work = [sum(getattr(one, WHOLE[stage]).values()) if whole else one.work[stage] for one in runs]
        memory = [max(one.memory.values()) if whole else one.memory[stage] for one in runs]
        jobs = [sum(one.jobs.values()) if whole else one.jobs[stage] for one in runs]
        cells = [
            stage,
            ", ".join(map(str, jobs)) if len(set(jobs)) > 1 else str(jobs[0]),
            *(f"{seconds:.2f}" for seconds in work),
            f"{work[-1] / work[-2]:.2f}",
            f"{slope(factors, work):.2f}",
            ", ".join(f"{value:.0f}" for value in memory),
            f"{memory[-1] / memory[-2]:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def more_than_linear(found: dict[str, list[Run]]) -> list[str]:
    """Return the stages whose work grows by more than LINEAR at the last doubling, as "stage with axis (ratio)"."""
    return [
        f"{stage} with {axis} ({runs[-1].work[stage] / runs[-2].work[stage]:.2f} times)"
        for axis, runs in found.items()
        for stage in STAGES
        if runs[-1].work[stage] > LINEAR * runs[-2].work[stage]
    ]


def section() -> list[str]:
    """Measure, and return this section's lines of the page."""
    scale = Scale()
    found = grow(scale)
    worse = more_than_linear(found)
    reextracted = sum(one.ran.get("extract_features", 0) for one in found["arms"])
    lines = [
        "## The whole study as it grows",
        "",
        f"A small study ({scale.train:,} + {scale.evaluation:,} generated images, {scale.steps} steps of pretraining, "
        "one checkpoint, one arm, one target) with 1, 2, 4 and 8 times the images, the checkpoints (each a replicate "
        f"of the arm) and the arms (pairs of {MOST} checkpoints). CPU seconds are those of all jobs of a stage, "
        "without their start-up; one job ran at a time. Memory is the largest of a stage's jobs, as Snakemake samples "
        "it twice a second.",
    ]
    for axis, runs in found.items():
        lines += ["", *axis_table(axis, runs)]
    lines += [
        "",
        (
            f"More than linear (the last doubling costs over {LINEAR} times as much): {'; '.join(worse)}."
            if worse
            else f"**Linear or less in every stage**: no last doubling costs over {LINEAR} times as much."
        )
        + " In pretraining, only the evaluation at a checkpoint grows with the images; the rest depends on the steps. A "
        "stage's exponent is below 1 where the smallest study's work is small compared with what each job does once. "
        f"With more arms, extraction ran {reextracted} more times, because arms share features.",
        "",
        *snakemake_table(found),
    ]
    return lines


def snakemake_table(found: dict[str, list[Run]]) -> list[str]:
    """Return a table of the time that Snakemake itself takes, run by run."""
    runs = list({id(one): one for own in found.values() for one in own}.values())
    lines = [
        "Time of Snakemake itself in each of these runs:",
        "",
        "| jobs of the study | jobs that ran | wall without jobs, s | Snakemake's CPU, s | jobs' CPU, s |",
        "|---:|---:|---:|---:|---:|",
    ]
    for one in sorted(runs, key=lambda one: (sum(one.jobs.values()), sum(one.ran.values()))):
        jobs, ran = sum(one.jobs.values()), sum(one.ran.values())
        lines += [f"| {jobs} | {ran} | {one.own:.1f} | {one.own_cpu:.1f} | {one.jobs_cpu:.1f} |"]
    return lines
