"""Extract the features of one data set with one checkpoint (the work of the stage `extract_features`)."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.timecat.artifacts.digests import array_digest, digest
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.artifacts.source_code import code_fingerprint
from workflow_scripts.timecat.artifacts.unfinished import FINGERPRINT, kept_folder
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.features.names import EVALUATION, HELDOUT, training_file
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime import command, devices, world
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STAGE = "extract_features"  # an unfinished folder depends on the code of this stage
MODULE = "workflow_scripts.extract_features"  # module that the other processes of a job run


@dataclass(frozen=True)
class Options:
    """Options of the command line of the stage `extract_features`."""

    data_set: str
    weights: Path
    train: list[Path]
    train_index: list[Path]
    evaluation: Path
    extraction: Extraction
    heldout: Heldout | None
    transform: Transform
    torch_threads: int
    workers: int
    gpus: int
    features: Path


def run(options: Options) -> None:
    """Extract the features, alone, as the leader of several processes, or as a process that a leader started."""
    if world.follows():
        extract(options, world.follow())
        return
    with sole_writer(options.features.parent, f"{options.features.name}."):
        lease = devices.lease(options.gpus)
        with world.lead(MODULE, lease.kind, len(lease.devices)) as leader:
            extract(options, leader)


def extract(options: Options, processes: world.World) -> None:
    """Write the folder of features and its sidecar. Each of several processes extracts its share of the rows."""
    import numpy as np

    from workflow_scripts.timecat.checkpoints.files import read_backbone
    from workflow_scripts.timecat.features.extraction import Extractor
    from workflow_scripts.timecat.images.ffcv.format import describe
    from workflow_scripts.timecat.images.views import CENTER, view_key
    from workflow_scripts.timecat.runtime import torch_settings
    from workflow_scripts.timecat.runtime.progress import Progress

    device, workers = processes.device, max(1, options.workers // processes.size)
    torch_settings.configure(options.torch_threads, device)
    processes.connect()
    settings, transform = options.extraction, options.transform
    backbone, _ = read_backbone(options.weights)
    extractor = Extractor(backbone.to(device), transform, settings, device, workers, processes)
    betons = {"evaluation": options.evaluation}
    evaluated = np.arange(read_sidecar(options.evaluation)["rows"])
    passes = [(EVALUATION, CENTER, options.evaluation, evaluated)]
    heldout = options.heldout
    for train in options.train:
        if heldout is None:
            raise ValueError("--heldout is null, but --train is given: training rows must be held out")
        betons["train"] = train
        labels = describe(train).labels
        passes.append((HELDOUT, CENTER, train, heldout_of(labels, options.train_index, heldout)))
        passes += [(training_file(view), view, train, np.arange(len(labels))) for view in settings.views]
    told = ("data_set", "extraction", "heldout", "transform", "torch_threads")
    params = {name: getattr(options, name) for name in told}
    inputs = {name: read_sidecar(path)["content"] for name, path in {"weights": options.weights, **betons}.items()}

    unfinished = unfinished_folder(options.features, config_digest(params, inputs)) if processes.leads else None
    unfinished = processes.from_leader(unfinished)
    images = sum(len(rows) for *_, rows in passes)
    progress = Progress(images, f"features of {options.data_set}", "images", quiet=not processes.leads)

    def advance(own: int) -> None:  # assumes that each other process has done equally many
        progress.advance(min(own * processes.size, progress.total - progress.done))

    if processes.leads:
        command.log_start_up()
    for name, view, beton, rows in passes:
        path = unfinished / name
        if processes.from_leader(path.exists()):
            if processes.leads:
                command.log(f"{path.name} is complete already, from an interrupted job")
            progress.advance(len(rows))
            continue
        number = view if view == CENTER else int(view.removeprefix("view"))
        key = view_key(settings.augmentation_seed, options.data_set, number)
        extractor.write(path, beton, rows, key, advance)
    progress.close()
    processes.disconnect()
    if not processes.leads:
        return
    digests = {path.name: array_digest(np.load(path, mmap_mode="r")) for path in sorted(unfinished.glob("*.npy"))}
    (unfinished / FINGERPRINT).unlink()
    shutil.rmtree(options.features, ignore_errors=True)
    os.replace(unfinished, options.features)
    facts = {"dimension": backbone.dimension, "files": digests}
    write_sidecar(
        options.features, digest(digests), params, inputs, facts, torch_settings.device_name(device, processes.size)
    )


def heldout_of(labels: "npt.NDArray[np.int64]", index: list[Path], heldout: Heldout) -> "npt.NDArray[np.int64]":
    """Return the held-out training rows, ascending (for a few-shot data set: the rows that any draw holds out)."""
    from workflow_scripts.timecat.draws import rows_of_draws
    from workflow_scripts.timecat.holdout import heldout_of_any, heldout_rows, with_heldout

    draws = [draw for path in index for draw in rows_of_draws(path)]
    if not draws:
        return heldout_rows(labels, heldout.seed, heldout.fraction)
    return heldout_of_any(with_heldout(draws, labels, heldout.seed, heldout.fraction))


def unfinished_folder(features: Path, config: str) -> Path:
    """Return the folder that holds the feature files until all are complete and it is renamed to ``features``."""
    return kept_folder(features, digest([config, code_fingerprint(STAGE)]))
