"""Format what `make plan` prints: jobs, images, time and disk, and a comparison with the original procedure."""

import textwrap
from collections.abc import Sequence

from workflow_scripts.timecat.planning.costs import Costs
from workflow_scripts.timecat.planning.devices import OnDevices, saturation, wall_clock_table
from workflow_scripts.timecat.planning.images import PHOTOGRAPH
from workflow_scripts.timecat.planning.jobs import KINDS, Job
from workflow_scripts.timecat.planning.plan import TABLE2, Plan, after_pretraining
from workflow_scripts.timecat.planning.text import WIDTH, count, duration, ratio, size, table

# Rules whose jobs resume after a stop, and the end of a sentence with further remedies for their long jobs.
RESUMED = {
    "pretrain": ", give the job more GPUs, or add pretrain.milestones on the way",
    "transfer": "",
    "extract_features": ", or give the job more GPUs",
}


def printed(plan: Plan, gpus: list[int], pretrain_gpus: Sequence[int | None]) -> str:
    """Return the printed text: the plan and, if numbers of GPUs are given, the wall-clock time on each number."""
    parts = [text(plan)]
    if not plan.left:
        parts.append("Nothing is left to run.")
    elif gpus:
        numbers = pretrain_gpus or [None]
        cases = [OnDevices(plan.left, plan.costs, number) for number in numbers]
        parts.append(wall_clock_table(cases, gpus))
        parts += [saturation(case, plan.planned.study) for case in cases]
    return "\n\n".join(parts)


def text(plan: Plan) -> str:
    """Return the text of a plan: data sets, rules, disk space, comparison with the original procedure, notes."""
    return "\n\n".join(
        [
            f"Plan of {plan.config}{_tables(plan)}: backbone {plan.planned.study.config.backbone}, on "
            f"{plan.costs.device.title} ({plan.costs.name} in the table of throughputs).",
            data_sets(plan),
            stages(plan),
            disk(plan),
            against_the_original(plan),
            notes(plan),
        ]
    )


def data_sets(plan: Plan) -> str:
    """Return a table of the data sets that the study reads: rows, classes, views and the origin of these numbers."""
    used = [name for name in plan.planned.study.config.data_sets if name in _data_sets_written(plan)]
    rows = [["data set", "training", "held out", "evaluation", "classes", "views", "px", "rows from"]]
    for name in used:
        found, views = plan.planned.rows[name], plan.planned.study.data_sets.number_of_views(name)
        side = plan.planned.image_size(name)
        numbers = [found.train, found.heldout, found.evaluation, found.classes]
        guess = (
            f", images of {PHOTOGRAPH.width} x {PHOTOGRAPH.height} px" if plan.planned.sizes_are_a_guess(name) else ""
        )
        rows.append([name, *(f"{number:,}" for number in numbers), str(views or "-"), str(side), found.origin + guess])
    return table(rows)


def stages(plan: Plan) -> str:
    """Return a table of the rules: their jobs and device time (all, and left to run), images and operations."""
    unit = plan.costs.unit
    rows = [["rule", "jobs", "left", "images trained", "images read", "operations", f"{unit} time", "left"]]
    for rule in (*plan.rules, None):
        mine, waiting = ([job for job in jobs if rule in (None, job.rule)] for jobs in (plan.jobs, plan.left))
        rows.append(
            [
                rule or "all",
                str(len(mine)),
                str(len(waiting)),
                *(_or_dash(sum(getattr(job.work, what) for job in mine)) for what in ("trained", "read", "operations")),
                *(_time(jobs, plan.costs) for jobs in (mine, waiting)),
            ]
        )
    return table(rows)


def disk(plan: Plan) -> str:
    """Return a table of disk space by kind of file: of all jobs, and of the jobs that are left to run."""
    total, waiting = _bytes(plan.jobs), _bytes(plan.left)
    rows = [["disk", "in total", "left"]]
    rows += [[kind, size(total[kind]), size(waiting[kind])] for kind in KINDS if total[kind]]
    rows.append(["all", size(sum(total.values())), size(sum(waiting.values()))])
    return table(rows)


def against_the_original(plan: Plan) -> str:
    """Return tables that compare the costs of the complete study with the costs of the original procedure.

    This workflow is counted as configured, and also with a fresh view of each training image in every epoch, as in the
    original procedure.
    """
    rows = [["after pretraining", "original procedure", "here", "ratio"], *_against(plan, plan.jobs)]
    if plan.fresh is not None:
        rows[0] += ["fresh views", "ratio"]
        rows[1:] = [row + fresh[2:] for row, fresh in zip(rows[1:], _against(plan, plan.fresh))]
    pretraining = [job for job in plan.jobs if job.rule == "pretrain"]
    if not pretraining:
        return table(rows)
    apart, chained = plan.original.pretrained_apart, sum(job.work.trained for job in pretraining)
    more = [["pretraining", "checkpoints apart", "in chains", "ratio"]]
    more.append(["images, forward and backward", count(apart), count(chained), ratio(apart, chained)])
    return f"{table(rows)}\n\n{table(more)}"


def _against(plan: Plan, jobs: list[Job]) -> list[list[str]]:
    """Return the rows of the comparison with the original procedure, one per cost. jobs: jobs of this workflow."""
    costs, original, after = plan.costs, plan.original, after_pretraining(jobs)
    images = sum(job.work.trained + job.work.read for job in after)
    seconds = sum(costs.device_seconds(job) for job in after)
    rows = [["images through backbones", count(original.images), count(images), ratio(original.images, images)]]
    rows.append(_times(f"{costs.unit} time", original.seconds, seconds, costs))
    if len(after) < len(jobs):
        ours = sum(costs.device_seconds(job) for job in jobs if job.rule == "pretrain")
        rows.append(_times(f"{costs.unit} time with pretraining", original.seconds + ours, seconds + ours, costs))
    theirs, mine = (sum(values.values()) for values in (original.bytes, _bytes(jobs)))
    return [*rows, ["disk beside the image files", size(theirs), size(mine), "-"]]


def _tables(plan: Plan) -> str:
    """Return the names of the planned tables in parentheses, or "" if the plan is for table 2 alone."""
    return "" if plan.tables == (TABLE2,) else f" ({', '.join(plan.tables)})"


def _times(what: str, theirs: float, ours: float, costs: Costs) -> list[str]:
    """Return a row that compares the device time of the original procedure (theirs) and this workflow (ours)."""
    return [what, duration(theirs, costs.unit), duration(ours, costs.unit), ratio(theirs, ours)]


def notes(plan: Plan) -> str:
    """Return notes about the plan: what its numbers mean and what they do not include."""
    lines = [
        "A job is left if an output of it is missing; `snakemake -n` also lists jobs that a change makes run again."
    ]
    several = len({backbone for backbone, *_ in plan.costs.speeds}) > 1
    for (backbone, side, precision), found in sorted(plan.costs.speeds.items()):
        which = f"{backbone}, " if several else ""
        lines.append(
            f"{plan.costs.name}, {which}{side} px, {precision}: {count(found.training)} images/s in training, "
            f"{count(found.extraction)} in extraction. Source: {found.origin}."
        )
    lines.append(
        "Times assume that devices never wait for images or disks, and leave out downloads. The original procedure "
        "pushes k backbones x weight decays x epochs x (rows + evaluation rows) images for every arm, replicate and "
        "data set. It keeps no features and no copies of the images, so it needs less disk."
    )
    if plan.fresh is not None:
        lines.append(
            'It has a fresh view of each training image in every epoch; "fresh views" is this workflow with as many '
            "views as epochs (`views` equal to `probe.epochs`)."
        )
    if too_long := _too_long(plan):
        lines.append(too_long)
    return "\n".join(textwrap.fill(line, WIDTH) for line in lines)


def _too_long(plan: Plan) -> str | None:
    """Return a warning if the longest job that is left takes longer than a scheduler allows, else None."""
    longest = max(plan.left, key=plan.costs.seconds, default=None)
    allowed = 60 * plan.planned.study.config.limits.runtime_minutes
    if longest is None or plan.costs.seconds(longest) <= allowed:
        return None
    remedy = "Raise the limit"
    if longest.rule in RESUMED:
        remedy = f"It resumes when the study is run again; or raise the limit{RESUMED[longest.rule]}"
    return (
        f"The longest job ({longest.rule} {longest.name}) takes {duration(plan.costs.seconds(longest))}, but "
        f"limits.runtime_minutes is {duration(allowed)}, after which a cluster's scheduler stops it. {remedy}."
    )


def _data_sets_written(plan: Plan) -> set[str]:
    return {job.dag.wildcards["data_set"] for job in plan.jobs if job.rule == "write_dataset"}


def _bytes(jobs: list[Job]) -> dict[str, float]:
    return {kind: sum(job.work.bytes.get(kind, 0) for job in jobs) for kind in KINDS}


def _time(jobs: list[Job], costs: Costs) -> str:
    return duration(seconds, costs.unit) if (seconds := sum(map(costs.device_seconds, jobs))) else "-"


def _or_dash(number: float) -> str:
    return count(number) if number else "-"
