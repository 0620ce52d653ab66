"""The jobs of a study, for `make plan`: their files, as the rules have them, and the work and disk that each takes.

Files come from the study's own functions (study.inputs), which are the rules' input functions, so this cannot drift from
the workflow in what a job needs; that it lists the same jobs, a test holds against `snakemake -n` for every study.
"""

from dataclasses import dataclass, field

from workflow_scripts.timecat.planning.tables import table_jobs
from workflow_scripts.timecat.planning.work import PlannedStudy
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey, FeaturesKey, SplitKey


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job. needs: its input files, whoever makes them; makes: its outputs.

    trained, read: images through backbones, forward and backward or forward alone (an image counts once for each
    backbone). operations: of linear heads. written: images that become part of a .beton, of so many ``pixels`` each.
    backbone: whose images these are, by name. devices: GPUs that it asks for. threads: cores likewise. bytes: on disk, by
    kind (KINDS).
    """

    rule: str
    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    trained: int = 0
    read: int = 0
    image_size: int = 0
    backbone: str = ""
    precision: str = "float32"
    operations: float = 0.0
    written: int = 0
    pixels: int = 0
    devices: int = 0
    threads: int = 1
    bytes: dict[str, float] = field(default_factory=dict)


KINDS = ("betons", "weights", "training states", "features", "heads")


def jobs_of(planned: PlannedStudy) -> list[Job]:
    """The jobs that the wanted tables need if nothing is there yet, in an order in which they can run."""
    makers = _makers(planned)
    jobs, state = [], {}

    def visit(path: str) -> None:
        if path not in makers or state.get(path) == "done":
            return
        job = makers[path]()
        for need in job.needs:
            visit(need)
        jobs.append(job)
        state.update(dict.fromkeys(job.makes, "done"))

    for target in planned.targets:
        visit(target)
    return jobs


def left(jobs: list[Job], exists, targets) -> list[Job]:
    """Those that are to be run for the targets, as Snakemake decides it from the files that exist (path -> bool).

    A job runs if something that runs needs a file of it that is not there, or if it needs a file of a job that runs.
    What has changed since a file was made is not looked at.
    """
    maker = {path: job for job in jobs for path in job.makes}
    needed_by = {}
    for job in jobs:
        for path in job.needs:
            if path in maker:
                needed_by.setdefault(id(maker[path]), []).append(job)
    running = {}

    def run(job: Job) -> None:
        waiting = [job]
        while waiting:
            job = waiting.pop()
            if id(job) in running:
                continue
            running[id(job)] = job
            waiting += [maker[path] for path in job.needs if path in maker and not exists(path)]
            waiting += needed_by.get(id(job), [])

    for target in targets:
        if not exists(target):
            run(maker[target])
    return [job for job in jobs if id(job) in running]


def _makers(planned: PlannedStudy) -> dict:
    """Output file -> function that makes its Job."""
    study = planned.study
    makers = {}

    def add(paths, make, *arguments) -> None:
        makers.update(dict.fromkeys(paths, lambda: make(planned, *arguments)))

    for table in table_jobs(study):
        makers.update(dict.fromkeys(table["makes"], lambda table=table: Job(**table)))
    for name in study.config.data_sets:
        for split in ("evaluation",) if study.data_sets.is_for_evaluation(name) else ("train", "evaluation"):
            add(study.paths.data_set.at(data_set=name, split=split).all, _write_dataset, SplitKey(name, split))
    for source, backbone in planned.chains:
        imported = backbone in study.publications and source == study.config.source
        for seed in study.arms.seeds:
            for step in study.chains.milestones_of(backbone, source):
                w = CheckpointKey(source, backbone, seed, step)
                add(_checkpoint_files(study, w), _import_checkpoint if imported else _pretrain, w)
                for name in study.config.data_sets:
                    of_data_set = FeaturesKey(**vars(w), data_set=name)
                    add(study.paths.features.at(of_data_set).all, _extract_features, of_data_set)
    for arm in study.arms.values():
        for name in study.config.data_sets:
            w = study.arms.cell(arm.name, name)
            if arm.transfer == "probe":
                make = _evaluate_probe if study.data_sets.is_for_evaluation(name) else _probe
            else:
                make = _reweight if arm.transfer == "reweight" else _transfer
            add(study.inputs.cell_files(w).all, make, w)
    for download in study.publications.downloads:
        files = study.paths.download.at(download=download).all
        makers.update(dict.fromkeys(files, lambda download=download, files=files: _download(download, files)))
    return makers


# --- jobs, one function a rule ---


def _download(download: str, files: tuple[str, ...]) -> Job:
    return Job(rule="download", name=download, needs=(), makes=files)


def _checkpoint_files(study: Study, w: CheckpointKey) -> tuple[str, ...]:
    """What pretraining leaves of a seed at a step, or an import."""
    files = study.paths.checkpoint.at(w)
    return (files.weights, files.weights_sidecar) if w.backbone in study.publications else files.all


def _read_of(study: Study, data_set: str, *splits: str) -> list[str]:
    """What stages read of a data set."""
    files = [study.paths.data_set.at(data_set=data_set, split=split) for split in splits]
    return [path for each in files for path in (each.beton, each.sidecar, each.index)]


def _write_dataset(planned: PlannedStudy, w: SplitKey) -> Job:
    study, name, split = planned.study, w.data_set, w.split
    return Job(
        rule="write_dataset",
        name=f"{name} {split}",
        needs=(*study.inputs.probed_sidecar(w), *study.inputs.probed_index(w)),
        makes=study.paths.data_set.at(w).all,
        written=planned.rows_of(name, split),
        pixels=planned.pixels(name, split),
        threads=study.config.limits.workers,
        bytes={"betons": planned.beton_bytes(name, split)},
    )


def _pretrain(planned: PlannedStudy, w: CheckpointKey) -> Job:
    study = planned.study
    limits, pretrain = study.config.limits, planned.recipe(w.backbone)
    steps = w.step - (study.chains.previous_step(w.source, w.backbone, w.step) or 0)
    return Job(
        rule="pretrain",
        name=f"{planned.of_chain(w)}seed {w.seed} to step {w.step}",
        needs=(
            *_read_of(study, w.source, "train", "evaluation"),
            *study.inputs.previous_state(w),
            *study.inputs.previous_sidecar(w),
        ),
        makes=_checkpoint_files(study, w),
        trained=steps * pretrain.batch_size,
        read=planned.batch_norm_images(w) + planned.rows[w.source].evaluation,
        image_size=planned.image_size(w.source),
        backbone=w.backbone,
        precision=pretrain.precision,
        devices=limits.pretrain_gpus,
        threads=study.resources.pretrain_threads,
        bytes={"weights": planned.weights_bytes(w), "training states": planned.state_bytes(w)},
    )


def _import_checkpoint(planned: PlannedStudy, w: CheckpointKey) -> Job:
    study = planned.study
    return Job(
        rule="import_checkpoint",
        name=f"{planned.of_chain(w)}seed {w.seed} at step {w.step}",
        needs=(study.inputs.published_file(w), *study.inputs.published_sidecar(w)),
        makes=_checkpoint_files(study, w),
        bytes={"weights": planned.weights_bytes(w)},
    )


def _extract_features(planned: PlannedStudy, w: FeaturesKey) -> Job:
    study = planned.study
    weights, evaluation = study.paths.checkpoint.at(w), study.paths.data_set.at(w, split="evaluation")
    limits = study.config.limits
    return Job(
        rule="extract_features",
        name=f"{w.data_set}, {planned.of_chain(w)}seed {w.seed} at step {w.step}",
        needs=(
            weights.weights,
            weights.weights_sidecar,
            *study.inputs.train_beton(w),
            *study.inputs.train_sidecar(w),
            evaluation.beton,
            evaluation.sidecar,
        ),
        makes=study.paths.features.at(w).all,
        read=planned.extracted_rows(w.data_set),
        image_size=planned.image_size(w.data_set),
        backbone=w.backbone,
        devices=limits.extract_gpus,
        threads=study.resources.extract_threads,
        bytes={"features": planned.features_bytes(w)},
    )


def _features_and_labels(study: Study, w: CellKey) -> tuple[str, ...]:
    """What an arm's last layer is trained from on a data set."""
    labels = _read_of(study, w.data_set, "train", "evaluation")
    return (*study.inputs.feature_folders(w), *study.inputs.feature_sidecars(w), *labels)


def _probe(planned: PlannedStudy, w: CellKey) -> Job:
    study = planned.study
    return Job(
        rule="probe",
        name=f"{w.arm} on {w.data_set}",
        needs=_features_and_labels(study, w),
        makes=study.inputs.cell_files(w).all,
        operations=planned.probe_operations(w.arm, w.data_set),
        devices=1,
        threads=study.config.torch_threads,
        bytes={"heads": planned.heads_bytes(w.arm, w.data_set)},
    )


def _evaluate_probe(planned: PlannedStudy, w: CellKey) -> Job:
    study = planned.study
    return Job(
        rule="evaluate_probe",
        name=f"{w.arm} on {w.data_set}",
        needs=(
            *study.inputs.feature_folders(w),
            *study.inputs.feature_sidecars(w),
            study.inputs.heads(w),
            study.inputs.heads_sidecar(w),
            *_read_of(study, w.data_set, "evaluation"),
        ),
        makes=study.inputs.cell_files(w).all,
        operations=planned.evaluation_operations(w.arm, w.data_set),
        devices=1,
        threads=study.config.torch_threads,
    )


def _transfer(planned: PlannedStudy, w: CellKey) -> Job:
    study = planned.study
    trained, read = planned.transferred_images(w.arm, w.data_set)
    return Job(
        rule="transfer",
        name=f"{w.arm} on {w.data_set}",
        needs=(
            *study.inputs.member_weights(w),
            *study.inputs.member_weights_sidecars(w),
            *_read_of(study, w.data_set, "train", "evaluation"),
        ),
        makes=study.inputs.cell_files(w).all,
        trained=trained,
        read=read,
        image_size=planned.image_size(w.data_set),
        backbone=study.chains.backbone_of(study.arms[w.arm]),
        devices=1,
        threads=study.resources.threads,
    )


def _reweight(planned: PlannedStudy, w: CellKey) -> Job:
    study = planned.study
    return Job(
        rule="reweight",
        name=f"{w.arm} on {w.data_set}",
        needs=_features_and_labels(study, w),
        makes=study.inputs.cell_files(w).all,
    )
