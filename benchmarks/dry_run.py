"""Time Snakemake before the first job: dry runs of the paper's study and of studies with ten times as many jobs."""

import tempfile
from pathlib import Path

import yaml

from benchmarks.timing import medians_side_by_side
from tests.support.studies import BESIDE_TABLE_2, ROOT, StudyFolder, jobs_of

TARGET = 10.0  # seconds for the paper's study
REPEATS = 3
SEEDS, MORE_ARMS = 50, 10  # larger studies have ten times the paper's 5 seeds, or ten times its 4 arms
PAPER, SEEDED, WITH_ARMS = "config/paper.yaml", "config/paper_seeds.yaml", "config/paper_arms.yaml"


def larger(values: dict, seeds: int, arms: int) -> dict:
    """Return the config of a study with more seeds, and with ``arms`` copies of each arm at different steps."""
    return {key: value for key, value in values.items() if key not in BESIDE_TABLE_2} | {
        "pretrain": values["pretrain"] | {"seeds": list(range(1, seeds + 1))},
        "arms": [
            arm | {"name": f"{arm['name']}_{copy}", "steps": arm["steps"] + copy}
            for arm in values["arms"]
            for copy in range(arms)
        ],
    }


def commands(study: StudyFolder, seeds: int = SEEDS, arms: int = MORE_ARMS) -> dict[str, tuple[str, str | None]]:
    """Return the timed commands: name on the page -> (option, config). The folder has no images or results."""
    values = yaml.safe_load((ROOT / PAPER).read_text())
    own = len(values["pretrain"]["seeds"])
    (study.path / SEEDED).write_text(yaml.safe_dump(larger(values, seeds, 1)))
    (study.path / WITH_ARMS).write_text(yaml.safe_dump(larger(values, own, arms)))
    return {
        "Snakemake's own start (`--version`)": ("--version", None),
        "... and reading config and rules (`--list-rules`), which each job on a cluster repeats": (
            "--list-rules",
            PAPER,
        ),
        "dry run of `config/paper.yaml`": ("-n", PAPER),
        f"dry run with {seeds} seeds": ("-n", SEEDED),
        f"dry run with {len(values['arms']) * arms} arms": ("-n", WITH_ARMS),
    }


def jobs(study: StudyFolder, option: str, config: str | None) -> int:
    """Run a command and return the number of jobs that it lists."""
    done = study.snakemake(option, config=config)
    return sum(jobs_of(done).values()) if option == "-n" else 0


def section() -> list[str]:
    """Measure, and return this section's lines of the page."""
    listed = {}
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")

        def run(name, command):
            listed[name] = jobs(study, *command)

        actions = {name: lambda name=name, c=command: run(name, c) for name, command in commands(study).items()}
        medians = medians_side_by_side(actions, REPEATS)
    _, reading, paper, *_ = medians.values()
    lines = [
        "## Before the first job",
        "",
        "| command | jobs | s | ms per job, without reading |",
        "|---|---:|---:|---:|",
    ]
    for name, seconds in medians.items():
        count = listed[name]
        per_job = f"{1000 * (seconds - reading) / count:.1f}" if count else ""
        lines.append(f"| {name} | {count or ''} | {seconds:.1f} | {per_job} |")
    return [
        *lines,
        "",
        f"Medians of {REPEATS} runs, in turn. Target: a dry run of the paper's study in {TARGET:.0f} s; measured: "
        f"**{paper:.1f} s**, {'reached' if paper < TARGET else 'missed'}.",
    ]
