"""Extract the features of one data set with one checkpoint: all splits and views in one job."""

import argparse
import os
import shutil
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import array_digest, digest
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.artifacts.source_code import code_fingerprint
from workflow_scripts.timecat.artifacts.unfinished import FINGERPRINT, kept_folder
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime import command, devices, world
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.runtime.sole_writer import sole_writer


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--data-set", required=True)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--train", nargs="*", required=True, type=Path, help=".beton; none: only the evaluation split")
    parser.add_argument("--evaluation", required=True, type=Path, help=".beton")
    parser.add_argument("--extraction", required=True, type=json_of(Extraction), help="features block, views by name")
    parser.add_argument("--heldout", required=True, type=json_of(Heldout | None))
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("--features", required=True, type=Path, help="folder")
    arguments = parser.parse_args()
    if world.follows():
        extract(arguments, world.follow())
        return
    with sole_writer(arguments.features.parent, f"{arguments.features.name}."):
        lease = devices.lease(arguments.gpus)
        with world.lead("workflow_scripts.extract_features", lease.kind, len(lease.devices)) as leader:
            extract(arguments, leader)


def extract(arguments: argparse.Namespace, processes: world.World) -> None:
    """Write the folder of features and its sidecar; of several processes, each extracts its share of the rows."""
    import numpy as np

    from workflow_scripts.timecat.checkpoints.files import read_backbone
    from workflow_scripts.timecat.features.extraction import Extractor
    from workflow_scripts.timecat.holdout import heldout_rows
    from workflow_scripts.timecat.images.ffcv.format import describe
    from workflow_scripts.timecat.images.views import CENTER, view_key
    from workflow_scripts.timecat.runtime import torch_settings
    from workflow_scripts.timecat.runtime.progress import Progress

    device, workers = processes.device, max(1, arguments.workers // processes.size)
    torch_settings.configure(arguments.torch_threads, device)
    processes.connect()
    settings, transform = arguments.extraction, arguments.transform
    backbone, _ = read_backbone(arguments.weights)
    extractor = Extractor(backbone.to(device), transform, settings, device, workers, processes)
    betons = {"evaluation": arguments.evaluation}
    passes = [("evaluation", CENTER, arguments.evaluation, np.arange(read_sidecar(arguments.evaluation)["rows"]))]
    for train in arguments.train:
        betons["train"] = train
        labels = describe(train).labels
        passes.append(
            ("heldout", CENTER, train, heldout_rows(labels, arguments.heldout.seed, arguments.heldout.fraction))
        )
        passes += [("train", view, train, np.arange(len(labels))) for view in settings.views]
    told = ("data_set", "extraction", "heldout", "transform", "torch_threads")
    params = {name: getattr(arguments, name) for name in told}
    inputs = {name: read_sidecar(path)["content"] for name, path in {"weights": arguments.weights, **betons}.items()}

    unfinished = unfinished_folder(arguments.features, config_digest(params, inputs)) if processes.leads else None
    unfinished = processes.from_leader(unfinished)
    images = sum(len(rows) for *_, rows in passes)
    progress = Progress(images, f"features of {arguments.data_set}", "images", quiet=not processes.leads)

    def advance(own: int) -> None:  # the others are about as far
        progress.advance(min(own * processes.size, progress.total - progress.done))

    if processes.leads:
        command.log_start_up()
    for split, view, beton, rows in passes:
        path = unfinished / f"{split}.{view}.npy"
        if processes.from_leader(path.exists()):
            if processes.leads:
                command.log(f"{path.name} is whole already: an interrupted job wrote it")
            progress.advance(len(rows))
            continue
        number = view if view == CENTER else int(view.removeprefix("view"))
        key = view_key(settings.augmentation_seed, arguments.data_set, number)
        extractor.write(path, beton, rows, key, advance)
    progress.close()
    processes.disconnect()
    if not processes.leads:
        return
    digests = {path.name: array_digest(np.load(path, mmap_mode="r")) for path in sorted(unfinished.glob("*.npy"))}
    (unfinished / FINGERPRINT).unlink()
    shutil.rmtree(arguments.features, ignore_errors=True)
    os.replace(unfinished, arguments.features)
    facts = {"dimension": backbone.dimension, "files": digests}
    write_sidecar(
        arguments.features, digest(digests), params, inputs, facts, torch_settings.device_name(device, processes.size)
    )


def unfinished_folder(features: Path, config: str) -> Path:
    """The folder, beside the final one, in which files gather until all are whole: half of a folder never has its name."""
    return kept_folder(features, digest([config, code_fingerprint("extract_features")]))


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
