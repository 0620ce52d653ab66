"""What Snakemake takes before any job: a dry run of the paper's study, and of ten times as many jobs."""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.timing import medians_side_by_side
from tests.studies import ROOT, StudyFolder, jobs_of

TARGET = 10.0  # seconds, of the paper's study
REPEATS = 3
SEEDS, MORE_ARMS = 50, 10  # of the larger studies: ten times the paper's 5 seeds, and ten times its 4 arms
PAPER, SEEDED, WITH_ARMS = "config/paper.yaml", "config/paper_seeds.yaml", "config/paper_arms.yaml"


@dataclass(frozen=True)
class Measured:
    """A command's median seconds, and how many jobs it listed (none: it only read the Snakefile)."""

    seconds: float
    jobs: int = 0


def larger(values: dict, seeds: int, arms: int) -> dict:
    """The same study with so many seeds, and each arm so many times, at other steps each time."""
    return values | {
        "pretrain": values["pretrain"] | {"seeds": list(range(1, seeds + 1))},
        "arms": [
            arm | {"name": f"{arm['name']}_{copy}", "steps": arm["steps"] + copy}
            for arm in values["arms"]
            for copy in range(arms)
        ],
    }


def measure(
    study: StudyFolder, repeats: int = REPEATS, seeds: int = SEEDS, arms: int = MORE_ARMS
) -> dict[str, Measured]:
    """Commands in turn, by what they are, in a folder that has neither images nor results."""
    values = yaml.safe_load((ROOT / PAPER).read_text())
    own = len(values["pretrain"]["seeds"])
    (study.path / SEEDED).write_text(yaml.safe_dump(larger(values, seeds, 1)))
    (study.path / WITH_ARMS).write_text(yaml.safe_dump(larger(values, own, arms)))
    commands = {
        "Snakemake's own start (`--version`)": ("--version", None),
        "... and reading config and rules (`--list-rules`): once more in each job of a cluster": (
            "--list-rules",
            PAPER,
        ),
        "dry run of `config/paper.yaml`": ("-n", PAPER),
        f"dry run with {seeds} seeds": ("-n", SEEDED),
        f"dry run with {len(values['arms']) * arms} arms": ("-n", WITH_ARMS),
    }
    last = {}

    def call(name, option, config):
        last[name] = study.snakemake(option, config=config)

    seconds = medians_side_by_side(
        {name: lambda name=name, c=command: call(name, *c) for name, command in commands.items()}, repeats
    )
    return {
        name: Measured(seconds[name], sum(jobs_of(last[name]).values()) if option == "-n" else 0)
        for name, (option, _) in commands.items()
    }


def section() -> list[str]:
    """Lines of the page."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(StudyFolder.fresh(Path(folder) / "study"))
    reading, paper, *others = list(found.values())[1:]
    lines = [
        "## Before the first job",
        "",
        "| command | jobs | s | ms per job, reading taken off |",
        "|---|---:|---:|---:|",
    ]
    for name, one in found.items():
        per_job = f"{1000 * (one.seconds - reading.seconds) / one.jobs:.1f}" if one.jobs else ""
        lines.append(f"| {name} | {one.jobs or ''} | {one.seconds:.1f} | {per_job} |")
    per_job = statistics.median((one.seconds - reading.seconds) / one.jobs for one in others)
    return [
        *lines,
        "",
        f"Medians of {REPEATS}, in turn. Target: a dry run of the paper's study in {TARGET:.0f} s; **{paper.seconds:.1f} s**, "
        f"{'reached' if paper.seconds < TARGET else 'missed'}. Larger studies take {1000 * per_job:.1f} ms a job.",
    ]
