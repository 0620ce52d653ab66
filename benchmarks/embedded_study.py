"""Time the stages of the embedded study, the measures that shorten it, and a probe job with more weight decays."""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.timing import REPEATS, medians_side_by_side, seconds_of
from tests.support.studies import ROOT, StudyFolder

START_UP = re.compile(r"^start-up ([\d.]+) s\b", re.MULTILINE)
GRID = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05]
STAGES = ["write_dataset", "pretrain", "extract_features", "probe", "tabulate"]
TRAINING_STEPS = 40  # steps over which the allocator's effect is timed

# Measures that shorten a process: (name, code without the measure, code with it, stages that it shortens). The code
# ends in os._exit, as a stage does, unless the end of the process is timed; OPTIMIZER is code that every training runs.
END = "import os; os._exit(0)"
OPTIMIZER = (
    "import torch\nfrom workflow_scripts.timecat.runtime import torch_settings\ntorch_settings.configure(1, compiles={})\n"
    "parameters = torch.nn.Linear(2, 2).parameters()\ntorch.optim.SGD(parameters, lr=0.1).zero_grad()\n" + END
)
READS_IMAGES = ["write_dataset", "pretrain", "extract_features"]
SHORTER_PROCESSES = [
    (
        "FFCV is imported with its compilation off",
        f"import numpy, torch, ffcv\n{END}",
        f"import numpy, torch, distutils.log, workflow_scripts.timecat.images.ffcv.reader\n{END}",
        READS_IMAGES,
    ),
    (
        "... and without setuptools, from which it imports a function that it never calls",
        f"import numpy, torch, distutils.log, workflow_scripts.timecat.images.ffcv.reader\n{END}",
        f"import numpy, torch, workflow_scripts.timecat.images.ffcv.reader\n{END}",
        READS_IMAGES,
    ),
    (
        "torch's compiler is not imported by the first optimizer",
        OPTIMIZER.format(True),
        OPTIMIZER.format(False),
        ["pretrain"],
    ),
    (
        "the process exits at once when everything is written",
        "import numpy, torch",
        f"import numpy, torch\n{END}",
        ["pretrain", "extract_features", "probe"],
    ),
]


def section() -> list[str]:
    """Run the study in a new folder, return this section's lines, and update the page of the study."""
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")
        # Without the forkserver each job is a separate process, so that Snakemake's measurement covers all of it.
        wall = seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=plain(study)))
        forking = StudyFolder.fresh(Path(folder) / "forking")
        forked = seconds_of(lambda: forking.snakemake("--", "results/table2.csv", config=None))
        whole = [
            f"The whole study takes **{forked / 60:.1f} minutes** with an installed environment and `--cores 2`. "
            f"Without `limits.forkserver`, that is with a separate process for each job, it takes {wall / 60:.1f} "
            f"minutes; the ratio is {wall / forked:.2f} (one run each). The table is of the run without the "
            "forkserver.",
            "",
            *study_table(study, wall),
        ]
        no_op = statistics.median(
            seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=None)) for _ in range(REPEATS)
        )
        show_table(study)
        short = shortened_table(study)
        probe_job = probe_job_table(study)
    return [
        "## The embedded study",
        "",
        *whole,
        "",
        f"A run with nothing to do takes **{no_op:.1f} s** (median of {REPEATS}).",
        "",
        "## Start-up",
        "",
        *start_up_table(),
        "",
        "## What keeps it short",
        "",
        *short,
        "",
        "## Weight decays are an axis inside one probe job",
        "",
        *probe_job,
    ]


def plain(study: StudyFolder) -> str:
    """Write the embedded study's config without the forkserver to a file of the folder; return the file's name."""
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    values["limits"]["forkserver"] = False
    (study.path / "config/plain.yaml").write_text(yaml.safe_dump(values))
    return "config/plain.yaml"


def study_table(study: StudyFolder, wall: float) -> list[str]:
    """Return a table of jobs, seconds, start-up and peak memory per stage, from Snakemake's benchmarks and the logs."""
    lines = [
        "| stage | jobs | median job, s | of which start-up, s | sum of jobs, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    work = start_up = 0.0
    for stage in STAGES:
        rows = benchmarks_of(study, stage)
        seconds = [float(row["s"]) for row in rows]
        memory = max(float(row["max_rss"]) for row in rows if row["max_rss"] not in ("-", "NA"))
        logs = [path.read_text() for path in (study.path / "results/logs" / stage).rglob("*.log")]
        start_ups = [float(found[1]) for log in logs if (found := START_UP.search(log))]
        lines.append(
            f"| {stage} | {len(rows)} | {statistics.median(seconds):.1f} | {statistics.median(start_ups):.1f} "
            f"| {sum(seconds):.0f} | {memory:.0f} |"
        )
        start_up += sum(start_ups)
        work += sum(seconds) - sum(start_ups)
    return [
        *lines,
        "",
        "Start-up is the time from the start of a process to its first useful work; two jobs run side by side. Over "
        f"all jobs, start-up takes {start_up:.0f} s and work {work:.0f} s; the two cores were available for "
        f"{2 * wall:.0f} s.",
    ]


def benchmarks_of(study: StudyFolder, stage: str) -> list[dict[str, str]]:
    """Return Snakemake's benchmark of each job of a stage, by column."""
    rows = []
    for path in sorted((study.path / "results/benchmarks" / stage).rglob("*.tsv")):
        header, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
        rows.append(dict(zip(header, values)))
    return rows


def python_seconds(code: str) -> float:
    """Return the seconds of a new Python process that runs ``code``."""
    return seconds_of(lambda: subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True))


def training_step(keep: bool) -> tuple[float, float]:
    """Return the CPU seconds of a training step of the embedded study's network, and the loss of the last step.

    The steps run in a separate process. keep: whether its allocator keeps freed memory. The loss after TRAINING_STEPS
    shows that both settings compute the same.
    """
    code = (
        "import statistics\nfrom benchmarks import recipe_options as options\n"
        "from workflow_scripts.timecat.runtime import torch_settings\n"
        + ("" if keep else "torch_settings._keep_memory = lambda: None\n")
        + "torch_settings.configure(1)\n"
        "plain = {options.PLAIN: options.OPTIONS[options.PLAIN]}\n"
        f"result = options.train_all(options.SMALL, plain, {TRAINING_STEPS}, options.images_of('train'))[options.PLAIN]\n"
        "print(statistics.median(result.seconds[options.UNTIMED:]), result.losses[-1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, loss = map(float, done.stdout.split())
    return seconds, loss


def shortened_table(study: StudyFolder, repeats: int = 3) -> list[str]:
    """Return a table of the measures that shorten the study: times without and with each, and the seconds saved."""
    lines = ["| measure | without, s | with, s | jobs | saved, s of jobs |", "|---|---:|---:|---:|---:|"]
    jobs = {stage: len(benchmarks_of(study, stage)) for stage in STAGES}
    total = sum(float(row["s"]) for stage in STAGES for row in benchmarks_of(study, stage))
    spared = 0.0
    for name, without, within, stages in SHORTER_PROCESSES:
        medians = medians_side_by_side(
            {"without": lambda code=without: python_seconds(code), "with": lambda code=within: python_seconds(code)},
            repeats,
        )
        count = sum(jobs[stage] for stage in stages)
        saving = count * (medians["without"] - medians["with"])
        spared += saving
        lines.append(f"| {name} | {medians['without']:.2f} | {medians['with']:.2f} | {count} | {saving:.0f} |")
    steps = {keep: statistics.median(training_step(keep)[0] for _ in range(repeats)) for keep in (False, True)}
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    trained = len(values["pretrain"]["seeds"]) * max(arm["steps"] for arm in values["arms"])
    saving = trained * (steps[False] - steps[True])
    spared += saving
    lines.append(
        f"| the allocator keeps freed memory: a training step | {steps[False]:.4f} | {steps[True]:.4f} | {trained} "
        f"steps | {saving:.0f} |"
    )
    again = per_file_start_up(study)
    lines.append(
        f"| one job extracts all feature files of a checkpoint and data set, not one job per file | | | | {again:.0f} |"
    )
    spared += again
    return [
        *lines,
        "",
        f"Together they save {spared:.0f} s of jobs; the study's jobs take {total:.0f} s. All weight decays of a "
        "probe are one job too, whose heads are trained together (see below).",
    ]


def per_file_start_up(study: StudyFolder) -> float:
    """Return the additional seconds of start-up that extraction would take with one job per feature file."""
    seconds = 0.0
    for log in (study.path / "results/logs/extract_features").rglob("*.log"):
        folder = Path(str(log).replace("/logs/extract_features/", "/features/")).with_suffix("")
        seconds += (len(list(folder.glob("*.npy"))) - 1) * float(START_UP.search(log.read_text())[1])
    return seconds


def start_up_table() -> list[str]:
    """Return a table of the import times of Python, torch, FFCV, and FFCV as published, which compiles at import."""
    codes = {
        "Python with NumPy": "import numpy",
        "... and torch": "import numpy, torch",
        "... and FFCV as the stages import it": "import numpy, torch, workflow_scripts.timecat.images.ffcv.reader",
        "... and FFCV as published (compiles at import)": "import numpy, torch, ffcv",
    }
    medians = medians_side_by_side({name: lambda code=code: python_seconds(code) for name, code in codes.items()}, 3)
    return ["| process that imports | s |", "|---|---|", *(f"| {name} | {s:.2f} |" for name, s in medians.items())]


def probe_job_table(study: StudyFolder) -> list[str]:
    """Time a whole probe job (cat1 on cues, fifteen replicates) with one weight decay and with the grid of six.

    Both jobs read the same features. A job's seconds are the seconds in Snakemake's benchmark minus its logged
    start-up, which is the same for both.
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
        f"A whole probe job (cat1 on cues, fifteen replicates) without its start-up takes {one:.1f} s with one weight "
        f"decay and {six:.1f} s with six: **ratio {six / one:.2f}** (medians of 3 each, in turn)."
    ]


def show_table(study: StudyFolder) -> None:
    """Write the study's table (selection `holdout` only) to its page, and copy its figure."""
    page = ROOT / "docs/results/embedded.md"
    before, rest = page.read_text().split("<!-- table: begin -->")
    after = rest.split("<!-- table: end -->")[1]
    intro, paper = study.read("results/table2.md").decode().strip().split("**Selection `paper`**")
    table = f"{intro}**Selection `holdout`**{paper.split('**Selection `holdout`**')[1]}"
    page.write_text(f"{before}<!-- table: begin -->\n\n{table}\n\n<!-- table: end -->{after}")
    (ROOT / "docs/figures/table2.svg").write_bytes(study.read("results/table2.svg"))
