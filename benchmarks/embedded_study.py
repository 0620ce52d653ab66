"""The embedded study, stage by stage, start-up apart from work; what keeps it short; weight decays inside one probe job."""

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
TRAINING_STEPS = 40  # that the allocator's part is timed over

# What was done to shorten a process: (what, code without it, code with it, stages that it shortens). A piece of code ends
# in os._exit, as a stage does, where the end is not what is timed; OPTIMIZER is a step that any training takes.
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
        "... and without setuptools, of which it imports a function that it never calls",
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
        "the process leaves at once when all is written",
        "import numpy, torch",
        f"import numpy, torch\n{END}",
        ["pretrain", "extract_features", "probe"],
    ),
]


def section() -> list[str]:
    """Run the study in a folder of its own; lines of the page. The README gets its table and figure."""
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")
        # Each job with a process of its own: what Snakemake measures of a job is then all of it.
        wall = seconds_of(lambda: study.snakemake("--", "results/table2.csv", config=plain(study)))
        forking = StudyFolder.fresh(Path(folder) / "forking")
        forked = seconds_of(lambda: forking.snakemake("--", "results/table2.csv", config=None))
        whole = [
            f"Whole study from an installed environment, `--cores 2`: **{forked / 60:.1f} minutes**. Without "
            f"`limits.forkserver`, that is with a process of its own for each job: {wall / 60:.1f} minutes, ratio "
            f"{wall / forked:.2f} (one run each). The table is of the latter.",
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
        f"A run with nothing to do: **{no_op:.1f} s** (median of {REPEATS}).",
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
    """The embedded study's config without the forkserver, written to a file of the folder; its name."""
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    values["limits"]["forkserver"] = False
    (study.path / "config/plain.yaml").write_text(yaml.safe_dump(values))
    return "config/plain.yaml"


def study_table(study: StudyFolder, wall: float) -> list[str]:
    """Jobs, job seconds, start-up and peak memory per stage, from Snakemake's benchmark files and the stages' logs."""
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
        "Start-up is from the start of the process to its first useful work; 2 jobs run side by side. Of all jobs together "
        f"start-up is {start_up:.0f} s and work {work:.0f} s; the two cores were there for {2 * wall:.0f} s.",
    ]


def benchmarks_of(study: StudyFolder, stage: str) -> list[dict[str, str]]:
    """What Snakemake has measured of each job of a stage, by column."""
    rows = []
    for path in sorted((study.path / "results/benchmarks" / stage).rglob("*.tsv")):
        header, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
        rows.append(dict(zip(header, values)))
    return rows


def python_seconds(code: str) -> float:
    """Seconds of a fresh Python process that runs ``code``."""
    return seconds_of(lambda: subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True))


def training_step(keep: bool) -> tuple[float, float]:
    """CPU seconds of a training step of the embedded study's network, by an allocator that keeps memory or not.

    In a process of its own; also returns the loss of the last of TRAINING_STEPS, which shows that both do the same.
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
    """What was done to shorten the study: each measure without and with it, and what it spares the study."""
    lines = ["| what was done | without, s | with, s | jobs | spared, s of jobs |", "|---|---:|---:|---:|---:|"]
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
        f"| the allocator keeps what is freed: a training step | {steps[False]:.4f} | {steps[True]:.4f} | {trained} steps "
        f"| {saving:.0f} |"
    )
    again = per_file_start_up(study)
    lines.append(
        f"| a checkpoint's files of a data set are extracted by one job, not a job per file | | | | {again:.0f} |"
    )
    spared += again
    return [
        *lines,
        "",
        f"Spared together: {spared:.0f} s of jobs, where the study's jobs take {total:.0f} s. The weight decays of a probe are "
        "one job too, and its heads are trained together (below).",
    ]


def per_file_start_up(study: StudyFolder) -> float:
    """Seconds of start-up that extraction would pay if each feature file had a job of its own."""
    seconds = 0.0
    for log in (study.path / "results/logs/extract_features").rglob("*.log"):
        folder = Path(str(log).replace("/logs/extract_features/", "/features/")).with_suffix("")
        seconds += (len(list(folder.glob("*.npy"))) - 1) * float(START_UP.search(log.read_text())[1])
    return seconds


def start_up_table() -> list[str]:
    """What a process pays before it works: Python, torch, FFCV; and FFCV as it comes, which compiles."""
    codes = {
        "Python with NumPy": "import numpy",
        "... and torch": "import numpy, torch",
        "... and FFCV as the stages import it": "import numpy, torch, workflow_scripts.timecat.images.ffcv.reader",
        "... and FFCV as it comes (compiles at import)": "import numpy, torch, ffcv",
    }
    medians = medians_side_by_side({name: lambda code=code: python_seconds(code) for name, code in codes.items()}, 3)
    return ["| process that imports | s |", "|---|---|", *(f"| {name} | {s:.2f} |" for name, s in medians.items())]


def probe_job_table(study: StudyFolder) -> list[str]:
    """A whole probe job (cat1 on cues: fifteen replicates) with one weight decay and with the grid of six, same features.

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
        f"A whole probe job (cat1 on cues, fifteen replicates), start-up not counted: one weight decay {one:.1f} s, six "
        f"{six:.1f} s, **ratio {six / one:.2f}** (medians of 3 each, in turn)."
    ]


def show_table(study: StudyFolder) -> None:
    """Put the study's table on its page, with the selection that sees no evaluation rows, and its figure beside the others."""
    page = ROOT / "docs/results/embedded.md"
    before, rest = page.read_text().split("<!-- table: begin -->")
    after = rest.split("<!-- table: end -->")[1]
    intro, paper = study.read("results/table2.md").decode().strip().split("**Selection `paper`**")
    table = f"{intro}**Selection `holdout`**{paper.split('**Selection `holdout`**')[1]}"
    page.write_text(f"{before}<!-- table: begin -->\n\n{table}\n\n<!-- table: end -->{after}")
    (ROOT / "docs/figures/table2.svg").write_bytes(study.read("results/table2.svg"))
