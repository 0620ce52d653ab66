"""Estimate what the original procedure (tests.references.original_procedure) would cost for the same table.

For every arm, replicate and data set it pushes k backbones x weight decays x epochs x (rows + evaluation rows) images
through backbones, in one job per weight decay. Pretraining and transfers cost the same as in this workflow. On a data
set for evaluation only it reads each row once with each backbone, as this workflow does. It reads the image files
directly and keeps no features, so it needs disk space for neither. It has no floors.
"""

from dataclasses import dataclass

from workflow_scripts.timecat.planning.costs import Costs
from workflow_scripts.timecat.planning.jobs import Job, cells_of
from workflow_scripts.timecat.planning.work import PlannedStudy


@dataclass(frozen=True)
class Original:
    """Cost of the original procedure.

    images: number of images that pass through backbones, without pretraining. seconds: device-seconds without
    pretraining (on a CPU, with as many cores as this workflow's jobs use to read images). bytes: space on disk, by kind
    of file.

    pretrained_apart: number of images in pretraining if each checkpoint of an arm were trained from scratch.
    """

    images: int
    seconds: float
    bytes: dict[str, float]
    pretrained_apart: int


def original_procedure(planned: PlannedStudy, jobs: list[Job], costs: Costs) -> Original:
    """Return the cost of the original procedure for a study, whose jobs in this workflow are ``jobs``."""
    study = planned.study
    images, seconds = 0, 0.0
    cores = study.resources.threads if costs.is_cpu else 1
    for arm, name in cells_of(job.dag for job in jobs):
        if study.arms[arm].transfer not in ("probe", "reweight") or arm in study.arms.floors:
            continue
        read = images_of_cell(planned, arm, name)
        images += read
        seconds += cores * costs.reading_seconds(
            read, planned.image_size(name), study.config.backbone_of(study.arms[arm])
        )
        if study.arms[arm].transfer == "reweight":
            continue
        seconds += cores * costs.operation_seconds(operations_of_cell(planned, arm, name))
        decays = 1 if study.data_sets.is_for_evaluation(name) else planned.weight_decays(name)
        seconds += cores * len(study.arms.replicates(study.arms[arm])) * decays * costs.device.start_seconds
    transfers = [job for job in jobs if job.rule == "transfer"]
    images += sum(job.work.trained + job.work.read for job in transfers)
    seconds += sum(costs.device_seconds(job) for job in transfers)
    kept = {"weights": sum(job.work.bytes.get("weights", 0) for job in jobs if job.rule != "initialise")}
    return Original(images, seconds, kept, _pretrained_apart(planned, jobs))


def images_of_cell(planned: PlannedStudy, arm: str, data_set: str) -> int:
    """Return the number of images that pass through backbones for all replicates of one cell of a table.

    The arm of the cell is a probe, or a reweighted arm, which reads each row once.
    """
    study, rows = planned.study, planned.rows[data_set].of_a_replicate
    backbones = sum(map(len, study.arms.replicates(study.arms[arm])))
    if study.data_sets.is_for_evaluation(data_set):
        return backbones * rows.evaluation
    if study.arms[arm].transfer == "reweight":
        return backbones * (rows.train + rows.evaluation)
    return backbones * planned.weight_decays(data_set) * study.config.probe.epochs * (rows.train + rows.evaluation)


def operations_of_cell(planned: PlannedStudy, arm: str, data_set: str) -> float:
    """Return the multiplications and additions of a cell's linear heads in the original procedure.

    The original procedure fits each head once, without held-out rows.
    """
    if planned.study.data_sets.is_for_evaluation(data_set):
        return planned.evaluation_operations(arm, data_set) / 2
    rows = planned.rows[data_set].of_a_replicate
    ours = 2.0 * (2 * rows.train - rows.heldout) + rows.evaluation + rows.heldout
    return planned.probe_operations(arm, data_set) * (2.0 * rows.train + rows.evaluation) / ours


def _pretrained_apart(planned: PlannedStudy, jobs: list[Job]) -> int:
    """Return the number of training images if each checkpoint of an arm were trained from scratch."""
    study = planned.study
    if not any(job.rule == "pretrain" for job in jobs):
        return 0
    cells = [(study.arms[arm], data_set) for arm, data_set in cells_of(job.dag for job in jobs)]
    checkpoints = {
        member
        for arm, data_set in cells
        if arm.milestones and not study.chains.is_published(arm)
        for replicate in study.arms.checkpoints_of(arm, data_set)
        for member in replicate
    }
    return sum(member.step * planned.recipe(member.backbone).batch_size for member in checkpoints)
