"""Train every replicate of one arm on one data set, backbones and all: all weight decays, from images.

Of several weight decays each is trained twice, the second time without the held-out rows that choose among them. Writes
what `probe` writes: one Parquet of metrics and one of the selected heads' predictions, with a sidecar.
"""

import argparse
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.artifacts.source_code import code_fingerprint
from workflow_scripts.timecat.backbones.start import Start
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime import command, devices
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.runtime.sole_writer import sole_writer
from workflow_scripts.timecat.transfer.settings import Settings

if TYPE_CHECKING:
    from workflow_scripts.timecat.backbones.backbone import Backbone


def main() -> None:
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--mode", required=True, choices=["finetune", "direct"])
    parser.add_argument("--data-set", required=True)
    parser.add_argument("--replicates", required=True, type=json_of(list[list[int]]), help="[[seed, ...], ...]")
    parser.add_argument("--weights", nargs="*", default=[], type=Path, help="finetune: of all members, in that order")
    parser.add_argument("--backbone", required=True, type=command.json_value, help="direct: its block of the config")
    parser.add_argument(
        "--initialisation", required=True, type=json_of(Start | None), help="direct: the recipe's keys of it"
    )
    parser.add_argument("--settings", required=True, type=json_of(Settings), help="the block finetune or direct")
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--heldout", required=True, type=json_of(Heldout), help='{"seed": ..., "fraction": ...}')
    for split in ("train", "evaluation"):
        parser.add_argument(f"--{split}", required=True, type=Path, help=".beton")
        parser.add_argument(f"--{split}-index", required=True, type=Path, help=".parquet")
    parser.add_argument("--resume-seconds", required=True, type=float)
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("--metrics", required=True, type=Path, help=".parquet")
    parser.add_argument("--predictions", required=True, type=Path, help=".parquet")
    arguments = parser.parse_args()
    count = sum(map(len, arguments.replicates)) if arguments.mode == "finetune" else 0
    if len(arguments.weights) != count:
        raise UserError(
            f"--weights names {len(arguments.weights)} files, and {arguments.mode} of these replicates takes {count}: "
            "give one for each member, or none with direct"
        )
    with sole_writer(arguments.metrics.parent, f"{arguments.metrics.stem}."):
        transfer(arguments, devices.acquire(arguments.gpus))


def transfer(arguments: argparse.Namespace, device: str) -> None:
    """Train, select, write."""
    from workflow_scripts.timecat.artifacts.unfinished import kept_folder
    from workflow_scripts.timecat.probing import files as probe_files
    from workflow_scripts.timecat.probing import replicates
    from workflow_scripts.timecat.runtime import torch_settings
    from workflow_scripts.timecat.runtime.progress import Progress
    from workflow_scripts.timecat.transfer import training
    from workflow_scripts.timecat.transfer.states import Kept

    torch_settings.configure(arguments.torch_threads, device)
    settings = arguments.settings
    target = training.Target(
        name=arguments.data_set,
        train=arguments.train,
        evaluation=arguments.evaluation,
        data=replicates.read_data_set(arguments.train_index, arguments.evaluation_index, arguments.heldout),
        transform=arguments.transform,
        device=device,
        workers=arguments.workers,
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
    params = {name: getattr(arguments, name) for name in told}
    inputs = {name: read_sidecar(getattr(arguments, name))["content"] for name in ("train", "evaluation")}
    paths = iter(arguments.weights)
    weights = [[next(paths) for _ in members] if arguments.weights else [] for members in arguments.replicates]
    for replicate, (members, own) in enumerate(zip(arguments.replicates, weights)):
        inputs |= {f"{replicate}/{seed}": read_sidecar(path)["content"] for seed, path in zip(members, own)}

    folder = kept_folder(arguments.metrics, digest([config_digest(params, inputs), code_fingerprint("transfer")]))
    kept = Kept(folder, arguments.resume_seconds)
    fits = target.data.needed_fits(settings.weight_decays)
    runs = len(arguments.replicates) * len(fits) * len(settings.weight_decays)
    spread = settings.for_rows(len(target.data.train_labels))
    command.log(f"{spread.steps(len(target.data.train_labels))} steps of {settings.batch_size} images for each network")
    progress = Progress(runs * settings.epochs, f"{arguments.mode} on {arguments.data_set}", "epochs")
    job = training.Job(arguments.mode, kept, progress)
    command.log_start_up()
    reports = []
    for replicate, (members, own) in enumerate(zip(arguments.replicates, weights)):

        def backbones(members: list[int] = members, own: list[Path] = own) -> "list[Backbone]":
            if own:
                return finetuned(own)
            return untrained(arguments.backbone, members, target.transform.size, arguments.initialisation)

        reports.append(training.transfer_replicate(replicate, members, backbones, target, settings, job))
        replicates.log_report(replicate, members, reports[-1])
    progress.close()
    kept.stop_watching()
    probe_files.write_metrics(arguments.metrics, [row for report in reports for row in report.metrics])
    content = probe_files.write_predictions(arguments.predictions, [report.predictions for report in reports])
    write_sidecar(arguments.predictions, content, params, inputs, device=torch_settings.device_name(device))
    shutil.rmtree(folder)


def finetuned(weights: Iterable[PathLike]) -> "list[Backbone]":
    """The backbones of weights files, to be trained on."""
    from workflow_scripts.timecat.checkpoints.files import read_backbone

    return [read_backbone(path)[0].requires_grad_(True) for path in weights]


def untrained(settings: dict[str, Any], seeds: Iterable[int], image_size: int, start: Start) -> "list[Backbone]":
    """The backbones that the pretraining runs of these seeds begin with."""
    from workflow_scripts.timecat.backbones.initialisation import initial_classifier

    how = (start.initialisation, start.zero_gamma)
    return [initial_classifier(settings, 1, seed, image_size, *how).backbone for seed in seeds]


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
