"""Compute the work and disk space of each job of a planned study.

``COSTS`` maps each rule whose work is counted to a function. Files, wildcards, GPUs, threads and order come from
Snakemake's graph (dag.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workflow_scripts.timecat.planning.dag import DagJob
from workflow_scripts.timecat.planning.work import PlannedStudy

KINDS = ("betons", "weights", "training states", "features", "heads")


@dataclass(frozen=True, kw_only=True)
class Work:
    """Amount of work of one job.

    trained: number of images that pass through backbones forward and backward. read: number of images that pass forward
    only. Both count an image once per backbone. image_size: width of these images in pixels. backbone: name of the
    backbone. operations: multiplications and additions of linear heads. written: number of images that are written to a
    .beton file. pixels: mean number of pixels of these images before they are resized. bytes: space on disk by kind of
    file (KINDS).
    """

    trained: int = 0
    read: int = 0
    image_size: int = 0
    backbone: str = ""
    precision: str = "float32"
    operations: float = 0.0
    written: int = 0
    pixels: int = 0
    bytes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of the graph with its work.

    name: text that identifies the job within its rule. devices: number of GPUs that the job requests.
    """

    dag: DagJob
    name: str
    work: Work
    devices: int

    @property
    def rule(self) -> str:
        """Name of the job's rule."""
        return self.dag.rule

    @property
    def threads(self) -> int:
        """Number of cores that the job requests."""
        return self.dag.threads


def planned_jobs(jobs: Iterable[DagJob], planned: PlannedStudy) -> list[Job]:
    """Return the graph's jobs, each with its work."""
    return [
        Job(
            dag=job,
            name=_name(job, planned),
            work=COSTS[job.rule](job, planned) if job.rule in COSTS else Work(),
            devices=job.gpus,
        )
        for job in jobs
    ]


def cells_of(jobs: Iterable[DagJob]) -> list[tuple[str, str]]:
    """Return the table cells (arm, data set) that jobs compute, without duplicates."""
    wildcards = [job.wildcards for job in jobs if "arm" in job.wildcards]
    return list(dict.fromkeys((found["arm"], found["data_set"]) for found in wildcards))


def left(jobs: Sequence[Job], exists: Callable[[str], bool], targets: Collection[str]) -> list[Job]:
    """Return the jobs that Snakemake would run for the targets, given the files that exist.

    A job runs if one of its outputs is missing and a job that runs needs it, or if one of its inputs comes from a job
    that runs. A table whose inputs are missing also counts as missing, unlike for Snakemake: it is likely to be the
    table of a different study. Changes of files since they were made are ignored.
    """
    maker = {path: job.dag for job in jobs for path in job.dag.outputs}
    needed_by: dict[DagJob, list[DagJob]] = {job.dag: [] for job in jobs}
    for job in jobs:
        for need in job.dag.needs:
            needed_by[need].append(job.dag)
    running: set[DagJob] = set()

    def is_made(target: str) -> bool:
        return exists(target) and all(exists(path) for path in maker[target].inputs if path in maker)

    waiting = [maker[target] for target in targets if not is_made(target)]
    while waiting:
        runs = waiting.pop()
        if runs in running:
            continue
        running.add(runs)
        waiting += [maker[path] for path in runs.inputs if path in maker and not exists(path)]
        waiting += needed_by[runs]
    return [job for job in jobs if job.dag in running]


def _name(job: DagJob, planned: PlannedStudy) -> str:
    """Return a text that identifies a job within its rule: its wildcards, or else the name of its first output."""
    w = job.wildcards
    if "arm" in w:
        return f"{w['arm']} on {w['data_set']}"
    if "split" in w:
        return f"{w['data_set']} {w['split']}"
    if "step" in w:
        parts = [f"{w['data_set']}, "] if "data_set" in w else []
        parts += [planned.chain_name(w["source"], w["backbone"]), f"seed {w['seed']} "]
        return "".join([*parts, "to" if job.rule == "pretrain" else "at", f" step {w['step']}"])
    return w.get("download") or job.outputs[0].rpartition("/")[2].partition(".")[0]


# --- work, one function per rule ---


def _write_dataset(job: DagJob, planned: PlannedStudy) -> Work:
    data_set, split = job.wildcards["data_set"], job.wildcards["split"]
    return Work(
        written=planned.rows_of(data_set, split),
        pixels=planned.pixels(data_set, split),
        bytes={"betons": planned.beton_bytes(data_set, split)},
    )


def _pretrain(job: DagJob, planned: PlannedStudy) -> Work:
    source, backbone = job.wildcards["source"], job.wildcards["backbone"]
    recipe = planned.recipe(backbone)
    before = [int(need.wildcards["step"]) for need in job.needs if need.rule == job.rule]
    steps = int(job.wildcards["step"]) - max(before, default=0)
    return Work(
        trained=steps * recipe.batch_size,
        read=planned.batch_norm_images(source, backbone) + planned.rows[source].evaluation,
        image_size=planned.image_size(source),
        backbone=backbone,
        precision=recipe.precision,
        bytes={
            "weights": planned.weights_bytes(source, backbone),
            "training states": planned.state_bytes(source, backbone),
        },
    )


def _initialise(job: DagJob, planned: PlannedStudy) -> Work:
    source, backbone = job.wildcards["source"], job.wildcards["backbone"]
    return Work(
        read=planned.batch_norm_images(source, backbone),
        image_size=planned.image_size(source),
        backbone=backbone,
        bytes={"weights": planned.weights_bytes(source, backbone)},
    )


def _import_checkpoint(job: DagJob, planned: PlannedStudy) -> Work:
    source, backbone = job.wildcards["source"], job.wildcards["backbone"]
    return Work(bytes={"weights": planned.weights_bytes(source, backbone)})


def _extract_features(job: DagJob, planned: PlannedStudy) -> Work:
    source, backbone, data_set = (job.wildcards[name] for name in ("source", "backbone", "data_set"))
    return Work(
        read=planned.extracted_rows(data_set),
        image_size=planned.image_size(data_set),
        backbone=backbone,
        bytes={"features": planned.features_bytes(source, backbone, data_set)},
    )


def _probe(job: DagJob, planned: PlannedStudy) -> Work:
    arm, data_set = job.wildcards["arm"], job.wildcards["data_set"]
    return Work(
        operations=planned.probe_operations(arm, data_set),
        bytes={"heads": planned.heads_bytes(arm, data_set)},
    )


def _evaluate_probe(job: DagJob, planned: PlannedStudy) -> Work:
    return Work(operations=planned.evaluation_operations(job.wildcards["arm"], job.wildcards["data_set"]))


def _transfer(job: DagJob, planned: PlannedStudy) -> Work:
    arm, data_set = job.wildcards["arm"], job.wildcards["data_set"]
    trained, read = planned.transferred_images(arm, data_set)
    return Work(
        trained=trained,
        read=read,
        image_size=planned.image_size(data_set),
        backbone=planned.study.config.backbone_of(planned.study.arms[arm]),
    )


COSTS: dict[str, Callable[[DagJob, PlannedStudy], Work]] = {
    "write_dataset": _write_dataset,
    "initialise": _initialise,
    "pretrain": _pretrain,
    "import_checkpoint": _import_checkpoint,
    "extract_features": _extract_features,
    "probe": _probe,
    "evaluate_probe": _evaluate_probe,
    "transfer": _transfer,
}
