"""The embedded study, stage by stage; what a process pays before it works; weight decays inside one probe job."""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.timing import REPEATS, medians_side_by_side, seconds_of
from tests.studies import ROOT, StudyFolder

START_UP = re.compile(r"^start-up ([\d.]+) s$", re.MULTILINE)
GRID = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05]
STAGES = ["write_dataset", "pretrain", "extract_features", "probe", "tabulate"]


def section() -> list[str]:
    """Run the study in a folder of its own; lines of the page. The README gets its table and figure."""
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")
        wall = seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=None))
        whole = study_table(study, wall)
        no_op = statistics.median(
            seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=None)) for _ in range(REPEATS)
        )
        show_in_readme(study)
        probe_job = probe_job_table(study)
    return [
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
    ]


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


def show_in_readme(study: StudyFolder) -> None:
    """Put the study's table and figure where the README shows them."""
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split("<!-- table: begin -->")
    after = rest.split("<!-- table: end -->")[1]
    table = study.read("results/table2.md").decode().strip()
    readme.write_text(f"{before}<!-- table: begin -->\n\n{table}\n\n<!-- table: end -->{after}")
    (ROOT / "docs/table2.svg").write_bytes(study.read("results/table2.svg"))
