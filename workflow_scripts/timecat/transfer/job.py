"""Train every replicate of one arm, with its backbones, on one data set (code of the stage `transfer`)."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.artifacts.source_code import code_fingerprint
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.backbones.start import Start
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime import command, devices
from workflow_scripts.timecat.runtime.sole_writer import sole_writer
from workflow_scripts.timecat.transfer.settings import Settings

if TYPE_CHECKING:
    from workflow_scripts.timecat.backbones.backbone import Backbone

STAGE = "transfer"  # saved states are valid only for this stage's code


@dataclass(frozen=True)
class Options:
    """Command-line options of the stage `transfer`."""

    mode: str
    data_set: str
    replicates: list[list[int]]
    weights: list[Path]
    backbone: BackboneSettings | None
    initialisation: Start | None
    settings: Settings
    transform: Transform
    heldout: Heldout
    train: Path
    train_index: Path
    evaluation: Path
    evaluation_index: Path
    resume_seconds: float
    torch_threads: int
    workers: int
    gpus: int
    metrics: Path
    predictions: Path


def run(options: Options) -> None:
    """Check the number of weights files, lease a device, and train."""
    count = sum(map(len, options.replicates)) if options.mode == "finetune" else 0
    if len(options.weights) != count:
        raise UserError(
            f"--weights names {len(options.weights)} files, but {options.mode} of these replicates needs {count}: "
            "pass one file per member for finetune, and no file for direct"
        )
    with sole_writer(options.metrics.parent, f"{options.metrics.stem}."):
        transfer(options, devices.acquire(options.gpus))


def transfer(options: Options, device: str) -> None:
    """Train every replicate, select its heads, and write metrics and predictions with their sidecar."""
    from workflow_scripts.timecat.artifacts.unfinished import kept_folder
    from workflow_scripts.timecat.probing import replicates
    from workflow_scripts.timecat.probing.files import write_metrics, write_predictions
    from workflow_scripts.timecat.runtime import torch_settings
    from workflow_scripts.timecat.runtime.progress import Progress
    from workflow_scripts.timecat.transfer import training
    from workflow_scripts.timecat.transfer.states import Kept

    torch_settings.configure(options.torch_threads, device)
    settings = options.settings
    target = training.Target(
        name=options.data_set,
        train=options.train,
        evaluation=options.evaluation,
        data=replicates.read_data_set(options.train_index, options.evaluation_index, options.heldout),
        transform=options.transform,
        device=device,
        workers=options.workers,
    )
    told = (
        "mode",
        "data_set",
        "replicates",
        "backbone",
        "initialisation",
        "settings",
        "transform",
        "heldout",
        "torch_threads",
    )
    params = {name: getattr(options, name) for name in told}
    inputs = {name: read_sidecar(getattr(options, name))["content"] for name in ("train", "evaluation")}
    paths = iter(options.weights)
    weights = [[next(paths) for _ in members] if options.weights else [] for members in options.replicates]
    for replicate, (members, own) in enumerate(zip(options.replicates, weights)):
        inputs |= {f"{replicate}/{seed}": read_sidecar(path)["content"] for seed, path in zip(members, own)}

    folder = kept_folder(options.metrics, digest([config_digest(params, inputs), code_fingerprint(STAGE)]))
    kept = Kept(folder, options.resume_seconds)
    fits = target.of_replicate(0).data.needed_fits(settings.weight_decays)
    runs = len(options.replicates) * len(fits) * len(settings.weight_decays)
    rows = len(target.of_replicate(0).data.train_labels)
    command.log(f"{settings.for_rows(rows).steps(rows)} steps of {settings.batch_size} images for each network")
    progress = Progress(runs * settings.epochs, f"{options.mode} on {options.data_set}", "epochs")
    job = training.Job(options.mode, kept, progress)
    command.log_start_up()
    reports = []
    for replicate, (members, own) in enumerate(zip(options.replicates, weights)):

        def backbones(members: list[int] = members, own: list[Path] = own) -> "list[Backbone]":
            if own:
                return finetuned(own)
            return untrained(options.backbone, members, target.transform.size, options.initialisation)

        reports.append(training.transfer_replicate(replicate, members, backbones, target, settings, job))
        replicates.log_report(replicate, members, reports[-1])
    progress.close()
    kept.stop_watching()
    write_metrics(options.metrics, [row for report in reports for row in report.metrics])
    content = write_predictions(options.predictions, [report.predictions for report in reports])
    write_sidecar(options.predictions, content, params, inputs, device=torch_settings.device_name(device))
    shutil.rmtree(folder)


def finetuned(weights: Iterable[PathLike]) -> "list[Backbone]":
    """Return the backbones in weights files, with trainable parameters."""
    from workflow_scripts.timecat.checkpoints.files import read_backbone

    return [read_backbone(path)[0].requires_grad_(True) for path in weights]


def untrained(
    settings: BackboneSettings | None, seeds: Iterable[int], image_size: int, start: Start | None
) -> "list[Backbone]":
    """Return the initial backbones of these seeds' pretraining runs, for training from scratch."""
    from workflow_scripts.timecat.backbones.initialisation import initial_classifier

    if settings is None or start is None:
        raise UserError("direct needs --backbone and --initialisation to train from scratch: pass both")
    how = (start.initialisation, start.zero_gamma)
    return [initial_classifier(settings, 1, seed, image_size, *how).backbone for seed in seeds]
