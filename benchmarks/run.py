"""``make bench``: run the embedded study in a folder of its own, time its parts, and write docs/benchmarks.md.

Every comparison is side by side in this one run, and medians are reported. Nothing here is a test.
"""

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.studies import ROOT, StudyFolder
from workflow_scripts.timecat.artifacts import versions
from workflow_scripts.timecat.devices import visible_devices

START_UP = re.compile(r"^start-up ([\d.]+) s$", re.MULTILINE)
GRID = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05]
STAGES = ["write_dataset", "pretrain", "extract_features", "probe", "tabulate"]
REPEATS = 5


def seconds_of(action) -> float:
    """Wall-clock seconds of a call."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def medians_side_by_side(actions: dict, repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of each action, run in turn (a b c, a b c, ...) after one round that is not counted."""
    times = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name, action in actions.items():
            seconds = seconds_of(action)
            if repeat:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def study_table(study: StudyFolder, wall: float) -> list[str]:
    """Jobs, job seconds, start-up and peak memory per stage, from Snakemake's benchmark files and the stages' logs."""
    lines = [
        f"Whole study from an installed environment, `--cores 2`: **{wall / 60:.1f} minutes**.",
        "",
        "| stage | jobs | median job, s | of which start-up, s | sum of jobs, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for stage in STAGES:
        rows = []
        for path in (study.path / "results/benchmarks" / stage).rglob("*.tsv"):
            header, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
            rows.append(dict(zip(header, values)))
        seconds = [float(row["s"]) for row in rows]
        memory = max(float(row["max_rss"]) for row in rows if row["max_rss"] not in ("-", "NA"))
        logs = [path.read_text() for path in (study.path / "results/logs" / stage).rglob("*.log")]
        start_ups = [float(found[1]) for log in logs if (found := START_UP.search(log))]
        lines.append(
            f"| {stage} | {len(rows)} | {statistics.median(seconds):.1f} | {statistics.median(start_ups):.1f} "
            f"| {sum(seconds):.0f} | {memory:.0f} |"
        )
    return [*lines, "", "Start-up is from the start of the process to its first useful work; 2 jobs run side by side."]


def python_seconds(code: str) -> float:
    """Seconds of a fresh Python process that runs ``code``."""
    return seconds_of(lambda: subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True))


def start_up_table() -> list[str]:
    """What a process pays before it works: Python, torch, FFCV; and FFCV as it comes, which compiles."""
    codes = {
        "Python with NumPy": "import numpy",
        "... and torch": "import numpy, torch",
        "... and FFCV as the stages import it": "import numpy, torch, workflow_scripts.timecat.ffcv_reader",
        "... and FFCV as it comes (compiles at import)": "import numpy, torch, ffcv",
    }
    medians = medians_side_by_side({name: lambda code=code: python_seconds(code) for name, code in codes.items()}, 3)
    return ["| process that imports | s |", "|---|---|", *(f"| {name} | {s:.2f} |" for name, s in medians.items())]


def heads_table() -> list[str]:
    """One training step of stacked heads: one weight decay against six, and against separate torch modules."""
    import torch

    from workflow_scripts.timecat import heads, heads_reference, torch_settings

    torch_settings.configure(1)
    lines = ["| features x classes | 1 weight decay, ms | 6 stacked, ms | ratio | 6 separate torch heads, ms | ratio |"]
    lines.append("|---|---|---|---|---|---|")
    for dimension, classes in ((160, 16), (2048, 100)):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(256, dimension, generator=generator)
        labels = torch.randint(classes, (256,), generator=generator)
        weight = 0.01 * torch.randn(classes, dimension, generator=generator)
        made = {
            "one": heads.StackedHeads(weight, GRID[:1]),
            "six": heads.StackedHeads(weight, GRID),
            "separate": heads_reference.ReferenceHeads(weight, GRID),
        }
        steps = 200 if dimension < 1000 else 40

        def train(head, steps=steps, features=features, labels=labels):
            for _ in range(steps):
                head.train_step(features, labels, 0.01)

        medians = medians_side_by_side({name: lambda head=head: train(head) for name, head in made.items()})
        one, six, separate = (1000 * medians[name] / steps for name in ("one", "six", "separate"))
        lines.append(
            f"| {dimension} x {classes} | {one:.2f} | {six:.2f} | {six / one:.2f} | {separate:.2f} | {separate / six:.1f} |"
        )
    return lines


def probe_job_table(study: StudyFolder) -> list[str]:
    """A whole probe job (cat1 on cues: five replicates) with one weight decay and with the grid of six, same features.

    A job's seconds are Snakemake's benchmark of it, less its logged start-up, which both pay alike.
    """
    probe = "cues/cues/cat1"
    seconds = {"one": [], "six": []}
    for repeat in range(4):
        for name, grid in (("one", GRID[:1]), ("six", GRID)):
            values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
            values.setdefault("probe", {})["weight_decays"] = grid
            (study.path / "config/grid.yaml").write_text(yaml.safe_dump(values))
            target = f"results/probes/{probe}.parquet"
            study.snakemake("--forcerun", "probe", "--", target, config="config/grid.yaml")
            job = float(study.read(f"results/benchmarks/probe/{probe}.tsv").split()[10])
            start_up = START_UP.search(study.read(f"results/logs/probe/{probe}.log").decode())
            if repeat:
                seconds[name].append(job - float(start_up[1]))
    one, six = (statistics.median(seconds[name]) for name in ("one", "six"))
    return [
        f"A whole probe job (cat1 on cues, five replicates), start-up not counted: one weight decay {one:.1f} s, six "
        f"{six:.1f} s, **ratio {six / one:.2f}** (medians of 3 each, in turn)."
    ]


def machine() -> str:
    """The machine and the versions, in a line each."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    parts = ", ".join(f"{name} {version}" for name, version in versions().items())
    gpus = ", ".join(visible_devices()) or "none"
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, GPUs: {gpus}; Python {platform.python_version()}, {parts}."
    )


def show_in_readme(study: StudyFolder) -> None:
    """Put the study's table and figure where the README shows them."""
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split("<!-- table: begin -->")
    after = rest.split("<!-- table: end -->")[1]
    table = study.read("results/table2.md").decode().strip()
    readme.write_text(f"{before}<!-- table: begin -->\n\n{table}\n\n<!-- table: end -->{after}")
    (ROOT / "docs/table2.svg").write_bytes(study.read("results/table2.svg"))


def main() -> None:
    """Run everything and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")
        wall = seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=None))
        whole = study_table(study, wall)
        no_op = statistics.median(
            seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=None)) for _ in range(REPEATS)
        )
        show_in_readme(study)
        probe_job = probe_job_table(study)
    page = [
        "# Benchmarks",
        "",
        f"Made by `make bench` on {machine()}",
        "Medians; compared figures are from the same run, in turn. Shared machines are noisy: ratios say more than seconds.",
        "",
        "## The embedded study",
        "",
        *whole,
        "",
        f"A run with nothing to do: **{no_op:.1f} s** (median of {REPEATS}).",
        "",
        "## Start-up",
        "",
        *start_up_table(),
        "",
        "## Weight decays are an axis inside one probe job",
        "",
        *probe_job,
        "",
        "One training step, batch 256, one thread:",
        "",
        *heads_table(),
        "",
        "On a CPU the last row is bound by its matrix products, which are six times as many: nothing exact makes them fewer. They",
        "cost less than separate heads all the same. On a GPU, where one head leaves most of the device idle, it was not measured.",
    ]
    (ROOT / "docs/benchmarks.md").write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
