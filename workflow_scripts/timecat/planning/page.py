"""Write a plan as a page with a figure (docs/benchmarks/scale.md is the page of the paper's study).

``page.md.j2`` is the text of the page. This module computes its numbers and tables and draws the figure.
"""

import contextlib
import io
import statistics
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.costs import Costs
from workflow_scripts.timecat.planning.devices import OnDevices, saturation, wall_clock_table
from workflow_scripts.timecat.planning.jobs import Job, planned_jobs
from workflow_scripts.timecat.planning.plan import Plan
from workflow_scripts.timecat.planning.report import text
from workflow_scripts.timecat.planning.rows import RowsOf
from workflow_scripts.timecat.planning.schedule import work
from workflow_scripts.timecat.planning.text import WIDTH, duration, size, table
from workflow_scripts.timecat.planning.throughputs import Precision
from workflow_scripts.timecat.planning.work import PlannedStudy
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.tables.figures.drawing import SETTINGS, private_matplotlib

TEMPLATE = Path(__file__).with_name("page.md.j2")
PROFILE = ROOT / "profiles/slurm/profile.yaml"
MANY, SEVERAL = 64, 8  # number of all GPUs, and of GPUs of one pretraining job, in the comparison of devices
SHORT = 300  # jobs that take fewer seconds are short for a cluster's scheduler
# Rules that have run once data sets and checkpoints exist.
BEFORE_EXTRACTION = ("write_dataset", "pretrain", "import_checkpoint", "download")

# The figure.
LOOKS: tuple[Mapping[str, Any], ...] = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": (0, (4, 2))},
    {"color": "#009E73", "marker": "^", "linestyle": (0, (1, 1))},
    {"color": "#CC79A7", "marker": "D", "linestyle": (0, (4, 1, 1, 1))},
)
MOST = 1024  # devices
DAY = 86400
TICKS = (
    *((seconds / DAY, f"{seconds} s") for seconds in (1, 4, 15)),
    *((60 * minutes / DAY, f"{minutes} min") for minutes in (1, 4, 15)),
    *((3600 * hours / DAY, f"{hours} h") for hours in (1, 6)),
    *((days, f"{days} day{'s' if days > 1 else ''}") for days in (1, 4, 16, 64, 256)),
)


def write_page(path: Path, plan: Plan, gpus: list[int], pretrain_gpus: list[int]) -> None:
    """Write the page and, in the same folder, its figure (.svg).

    Raise UserError if the study does not pretrain or if numbers of GPUs are not given.
    """
    if not gpus or not pretrain_gpus or not any(job.rule == "pretrain" for job in plan.jobs):
        raise UserError(
            "--page: the page shows how pretraining scales; give --gpus, --pretrain-gpus and a study that pretrains"
        )
    cases = [OnDevices(plan.jobs, plan.costs, number) for number in pretrain_gpus]
    figure = path.with_suffix(".svg")
    with tempfile.TemporaryDirectory() as folder:
        drawn = wall_clock_figure(cases, Path(folder))
    command = (
        f"python -m workflow_scripts.plan --configfile {plan.config} --gpus {','.join(map(str, gpus))} "
        f"--pretrain-gpus {','.join(map(str, pretrain_gpus))} --page {path}"
    )
    write_bytes(path, page(plan, cases, gpus, command, figure.name).encode())
    write_bytes(figure, drawn)


def page(plan: Plan, cases: list[OnDevices], gpus: list[int], command: str, figure: str) -> str:
    """Return the text of the page.

    command: command line that writes the page. figure: file name of the figure.
    """
    study, costs = plan.planned.study, plan.costs
    left = OnDevices(plan.left_with(*BEFORE_EXTRACTION), costs)
    side = plan.planned.image_size(study.config.source)
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(
        TEMPLATE.read_text()
    )
    return _wrapped(
        template.render(
            plan=plan,
            command=command,
            figure=figure,
            bill=text(plan),
            gpu_time=lambda seconds: duration(seconds, costs.unit),
            pretraining=_seconds(plan, "pretrain"),
            after=sum(map(costs.device_seconds, plan.after_pretraining)),
            probes=_seconds(plan, "probe"),
            features=size(sum(job.work.bytes.get("features", 0) for job in plan.jobs)),
            wall_clock=wall_clock_table(cases, gpus),
            scaling=costs.speed(side, study.config.pretrain.precision).scaling,
            cases=[{"pretrain_gpus": case.pretrain_gpus, "saturation": saturation(case, study)} for case in cases],
            pretrain=study.config.pretrain,
            limits=study.config.limits,
            without_pretraining={
                "wall_clock": wall_clock_table([left], gpus),
                "saturation": saturation(left, study),
            },
            **scheduler_view(plan),
            other_devices=_other_devices(plan),
        )
    )


def _wrapped(markdown: str) -> str:
    """Wrap prose to the page's width; leave blocks of code, headings and figures unchanged."""
    lines, in_code = [], False
    for line in markdown.split("\n"):
        in_code ^= line.startswith("```")
        is_prose = not in_code and not line.startswith(("#", "!", "```"))
        indent = "  " if line.startswith("- ") else ""
        lines += (textwrap.wrap(line, WIDTH, subsequent_indent=indent) or [""]) if is_prose else [line]
    return "\n".join(lines)


def _seconds(plan: Plan, rule: str) -> float:
    return sum(plan.costs.device_seconds(job) for job in plan.jobs if job.rule == rule)


def scheduler_view(plan: Plan) -> dict[str, Any]:
    """Return the numbers and the table that the page shows about a cluster's scheduler, by key.

    profile: settings of the profile. sent: submitted jobs. short: number of submitted jobs that are short. rules: table
    of the rules.
    """
    sent = [job for job in plan.jobs if not job.dag.is_local]
    rows = [["rule", "jobs", "GPUs", "cores", "shortest", "median", "longest"]]
    rows += [_rule_row([job for job in plan.jobs if job.rule == rule], plan.costs) for rule in plan.rules]
    return {
        "profile": yaml.safe_load(PROFILE.read_text()),
        "sent": sent,
        "short": sum(plan.costs.seconds(job) < SHORT for job in sent),
        "rules": table(rows),
    }


def _rule_row(jobs: list[Job], costs: Costs) -> list[str]:
    seconds = [costs.seconds(job) for job in jobs]
    times = [duration(value) for value in (min(seconds), statistics.median(seconds), max(seconds))]
    return [jobs[0].rule, str(len(jobs)), str(jobs[0].devices or "-"), str(jobs[0].threads), *times]


def _other_devices(plan: Plan) -> str:
    rows = [["device", "training in", "images/s", "GPU time", f"on {MANY}, pretrain_gpus: {SEVERAL}", "figures"]]
    precisions: tuple[Precision, ...] = ("float32", "bf16")
    for name, device in plan.costs.table.devices.items():
        for precision in precisions:
            if device.kind == "gpu":
                with contextlib.suppress(UserError):  # the table has no such row
                    rows.append([device.title, precision, *_on_device(plan, name, precision)])
    return table(rows, left=2)


def _on_device(plan: Plan, device: str, precision: Precision) -> list[str]:
    """Return a device's row of the table of devices: images/s, GPU time, wall-clock time, origin of the figures."""
    study = _in_precision(plan.planned.study, precision)
    planned = PlannedStudy(study, RowsOf(study, root=plan.planned.rows.root))
    jobs = planned_jobs([job.dag for job in plan.jobs], planned)
    costs = Costs(planned, plan.costs.table, device)
    found = costs.speed(planned.image_size(study.config.source), precision)
    return [
        f"{found.training:,.0f}",
        duration(sum(map(costs.device_seconds, jobs)), "GPU"),
        duration(OnDevices(jobs, costs, SEVERAL).wall_clock(MANY)),
        "derived" if "erived" in found.origin else "published",
    ]


def _in_precision(study: Study, precision: Precision) -> Study:
    pretrain = study.config.pretrain.model_copy(update={"precision": precision})
    return Study(study.config.model_copy(update={"pretrain": pretrain}))


# --- the figure: wall-clock time against devices, one line per number of GPUs of one pretraining job ---


def wall_clock_figure(cases: list[OnDevices], folder: Path) -> bytes:
    """Return the figure as SVG, identical for the same plan. folder: folder for Matplotlib's temporary files."""
    with private_matplotlib(folder):
        return _drawn(cases)


def _drawn(cases: list[OnDevices]) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    numbers = [2**power for power in range(MOST.bit_length())]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        canvas: Any = FigureCanvasSVG(figure)
        panel = figure.subplots()
        one = cases[0].tasks(1)
        panel.plot(numbers, [work(one) / number / DAY for number in numbers], color="0.7", linewidth=1)
        panel.annotate("work / GPUs", (numbers[-4], work(one) / numbers[-4] / DAY), (-4, -10), color="0.45", ha="right",
                       textcoords="offset points")  # fmt: skip
        for case, look in zip(cases, LOOKS, strict=False):
            days = [case.wall_clock(number) / DAY for number in numbers]
            panel.plot(numbers, days, label=f"pretrain_gpus: {case.pretrain_gpus or 'as the config'}", **look)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(numbers[::2], [f"{number}" for number in numbers[::2]])
        low, high = panel.get_ylim()
        panel.set_yticks(*zip(*((days, label) for days, label in TICKS if low <= days <= high)))
        panel.minorticks_off()
        panel.set_xlabel(f"{cases[0].costs.device.title}s")
        panel.set_ylabel("wall-clock time")
        panel.grid(color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.legend(frameon=False)
        file = io.BytesIO()
        canvas.print_svg(file, metadata={"Date": None, "Creator": None, "Title": "Wall-clock time against devices"})
    return file.getvalue()
