"""The page of a plan (docs/scale.md is the paper's study): its figures, and what follows from them."""

import contextlib
import tempfile
import textwrap
from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.cluster import scheduler_view
from workflow_scripts.timecat.planning.costs import Costs
from workflow_scripts.timecat.planning.devices import OnDevices, saturation, wall_clock_table
from workflow_scripts.timecat.planning.figure import wall_clock_figure
from workflow_scripts.timecat.planning.jobs import jobs_of, left
from workflow_scripts.timecat.planning.report import WIDTH, Plan, text
from workflow_scripts.timecat.planning.rows import RowsOf
from workflow_scripts.timecat.planning.text import duration, size, table
from workflow_scripts.timecat.planning.work import PlannedStudy
from workflow_scripts.timecat.study.study import Study

MANY, SEVERAL = 64, 8  # GPUs of the machine and of one pretraining job, where devices are compared


def write_page(path: Path, config: str, plan: Plan, gpus: list[int], pretrain_gpus: list[int]) -> None:
    """Write the page and, beside it, its figure (.svg). UserError where the plan has nothing to show."""
    for name, content in page(path, config, plan, gpus, pretrain_gpus).items():
        write_bytes(path.with_name(name), content)


def page(path: Path, config: str, plan: Plan, gpus: list[int], pretrain_gpus: list[int]) -> dict[str, bytes]:
    """The files of the page, by name."""
    if not gpus or not pretrain_gpus or not any(job.rule == "pretrain" for job in plan.jobs):
        raise UserError(
            "--page: it shows how pretraining scales; give --gpus and --pretrain-gpus, and a study that pretrains"
        )
    cases = [OnDevices(plan.jobs, plan.costs, number) for number in pretrain_gpus]
    figure = path.with_suffix(".svg").name
    with tempfile.TemporaryDirectory() as folder:
        drawn = wall_clock_figure(cases, Path(folder))
    command = (
        f"python -m workflow_scripts.plan --configfile {config} --gpus {','.join(map(str, gpus))} "
        f"--pretrain-gpus {','.join(map(str, pretrain_gpus))} --page {path}"
    )
    parts = [
        "# What a study takes, and how far it scales",
        f"This page is of `{config}`, before anything of it is made. It is written "
        f"by\n\n```sh\n{command}\n```\n\nfrom the config and `config/throughputs.yaml` alone, without data and in "
        "seconds; a test holds it to what that command writes. Nothing on it was timed on these machines as a whole: "
        "it is arithmetic on the figures of the table, each of which says who measured it. For your own study, files "
        "and devices:\n\n```sh\nmake plan CONFIG=config/config.yaml GPUS=2,8\n```",
        f"## The bill\n\n```\n{text(plan, config)}\n```",
        _reading(plan),
        f"## Many GPUs\n\n![Wall-clock time against devices]({figure})\n\n```\n{wall_clock_table(cases, gpus)}\n```",
        _how_it_is_reckoned(plan),
        "## What saturates first",
        *(f"**`pretrain_gpus: {case.pretrain_gpus}`**\n\n{saturation(case, plan.planned.study)}" for case in cases),
        _what_to_do(plan),
        f"## Without pretraining\n\n{_without_pretraining(plan, gpus)}",
        f"## What a cluster's scheduler sees\n\n{scheduler_view(plan)}",
        f"## Other devices\n\n{_other_devices(plan)}",
    ]
    return {path.name: (_wrapped("\n\n".join(parts)) + "\n").encode(), figure: drawn}


def _wrapped(markdown: str) -> str:
    """Prose in lines of a page's width; blocks of code, headings and figures as they are."""
    lines, in_code = [], False
    for line in markdown.split("\n"):
        in_code ^= line.startswith("```")
        is_prose = not in_code and not line.startswith(("#", "!", "```"))
        indent = "  " if line.startswith("- ") else ""
        lines += (textwrap.wrap(line, WIDTH, subsequent_indent=indent) or [""]) if is_prose else [line]
    return "\n".join(lines)


def _seconds(plan: Plan, *rules: str) -> float:
    return sum(plan.costs.device_seconds(job) for job in plan.jobs if job.rule in rules)


def _reading(plan: Plan) -> str:
    costs, original = plan.costs, plan.original
    trained, after = _seconds(plan, "pretrain"), sum(map(costs.device_seconds, plan.after_pretraining))
    features = sum(job.bytes.get("features", 0) for job in plan.jobs)
    return (
        f"Pretraining is {trained / (trained + after):.0%} of this workflow's time, and it takes no shortcut there: "
        "the same images, forward and backward. What it saves there is that milestones of a seed are one chain and "
        f"not runs of their own. All else takes {duration(after, costs.unit)} where the original procedure takes "
        f"{duration(original.seconds, costs.unit)}, and it is paid once: another grid of weight decays or another "
        "protocol of the probe costs "
        f"{duration(_seconds(plan, 'probe'), costs.unit)} of probes here, and the original procedure the whole of its "
        f"images again. The price is disk, {size(features)} of features (`views` is the knob: with more of them "
        "features grow and the ratio shrinks)."
    )


def _how_it_is_reckoned(plan: Plan) -> str:
    return (
        "The wall-clock time is that of the jobs in a simulation of Snakemake's scheduling: a job is ready when its "
        "inputs exist, takes as many GPUs as `limits` say (fewer where there are fewer: Snakemake lowers what a job "
        "asks for to what `--resources gpu=` has), and keeps them to its end; what does not fit waits while a smaller "
        "job passes it by. No order of jobs can be faster than the longest chain, nor than all work divided by the "
        "GPUs: both stand beside it, and where the time is near the larger of them, nothing is to be won by "
        f"scheduling. {_scaling(plan)} Writing .beton files takes cores and no GPU."
    )


def _scaling(plan: Plan) -> str:
    study, planned = plan.planned.study, plan.planned
    scaling = plan.costs.speed(planned.image_size(study.config.source), study.config.pretrain.precision).scaling
    return (
        f"A pretraining job on twice the GPUs is taken for {2 * scaling:.2f} times as fast (`scaling` of the table: "
        f"of 8 GPUs of one machine at most, and assumed beyond; 64 are then {64 * scaling**6:.0f} times as fast as one)."
    )


def _what_to_do(plan: Plan) -> str:
    limits, study = plan.planned.study.config.limits, plan.planned.study
    seeds, batch, ghost = (
        len(study.config.pretrain.seeds),
        study.config.pretrain.batch_size,
        study.config.pretrain.ghost_batch,
    )
    lines = [
        f"- **The chains of seeds come first.** {seeds} seeds are {seeds} chains, which with `pretrain_gpus: 1` take "
        "a GPU each: any more have only extraction and probes to do, and soon nothing. Raise `limits.pretrain_gpus` "
        "until seeds x pretrain_gpus is about the number of GPUs.",
        "- **A job's GPUs are of one machine**, and it uses no more than that has: where machines have 8, the lines of 64 are "
        "of machines that you do not have.",
        "- **More seeds are free** once GPUs stand idle: they lengthen no chain, and error bars shrink.",
    ]
    if ghost:
        lines.append(
            f"- **Up to {batch // ghost} GPUs, a job does the recipe as it stands**: batch norm takes its statistics "
            f"of {ghost} images (`ghost_batch`), and a batch of {batch:,} has {batch // ghost} times as many. Past "
            "that, GPUs have to agree on them in every layer, and small parts fill a GPU badly: those lines are a "
            "bound and no promise."
        )
    lines += [
        "- **Then comes extraction of the largest data set** at the end of the chain. "
        f"`limits.extract_gpus` (now {limits.extract_gpus}) divides its rows; it helps where there are more GPUs than "
        "checkpoints to extract with, and else nothing.",
        "- **A job starts when all its GPUs are free at once.** With `pretrain_gpus` as large as the machine, seeds "
        "train one after the other, in about the time that side by side takes as long as GPUs scale well, and the "
        "first results come sooner.",
        "- **Images must come as fast as GPUs take them** (`limits.workers`; docs/benchmarks.md has images/s per "
        "core), and betons should fit the page cache. Neither is in these figures.",
    ]
    return "### What to do about it\n\n" + "\n".join(lines)


def _without_pretraining(plan: Plan, gpus: list[int]) -> str:
    paths = plan.planned.study.paths
    folders = (f"{paths.data_sets}/", f"{paths.checkpoints}/")
    made = left(plan.jobs, lambda file: file.startswith(folders), plan.planned.targets)
    case = OnDevices(made, plan.costs)
    return (
        "Once data sets and checkpoints are there, made or published ones (the block `checkpoints` of the config), "
        f"this is left:\n\n```\n{wall_clock_table([case], gpus)}\n```\n\n{saturation(case, plan.planned.study)}"
    )


def _other_devices(plan: Plan) -> str:
    study, throughputs = plan.planned.study, plan.costs.table
    rows = [["device", "training in", "images/s", "GPU time", f"on {MANY}, pretrain_gpus: {SEVERAL}", "figures"]]
    for name, device in throughputs.devices.items():
        for precision in ("float32", "bf16"):
            if device.kind == "cpu":
                continue
            with contextlib.suppress(UserError):  # the table has no such row
                other = _in_precision(study, precision)
                planned = PlannedStudy(other, RowsOf(other, root=plan.planned.rows.root))
                jobs, costs = jobs_of(planned), Costs(planned, throughputs, name)
                case = OnDevices(jobs, costs, SEVERAL)
                found = costs.speed(planned.image_size(other.config.source), precision)
                time = duration(sum(map(costs.device_seconds, jobs)), "GPU")
                origin = "derived" if "erived" in found.origin else "published"
                rows.append(
                    [device.title, precision, f"{found.training:,.0f}", time, duration(case.wall_clock(MANY)), origin]
                )
    return (
        f"```\n{table(rows, left=2)}\n```\n\nExtraction is in float32 on all of them, with TF32 off. `precision: "
        "bf16` is another recipe than the paper's (docs/recipe.md says what it changes)."
    )


def _in_precision(study: Study, precision: str) -> Study:
    pretrain = study.config.pretrain.model_copy(update={"precision": precision})
    return Study(study.config.model_copy(update={"pretrain": pretrain}))
