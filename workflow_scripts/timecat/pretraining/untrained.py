"""Write the untrained network of a seed: step 0 of its milestones (code of the stage `initialise`)."""

from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining.recipe import Beginning
from workflow_scripts.timecat.runtime import command, devices
from workflow_scripts.timecat.runtime.sole_writer import sole_writer


@dataclass(frozen=True)
class Options:
    """Command-line options of the stage `initialise`."""

    source: str
    seed: int
    backbone: BackboneSettings
    beginning: Beginning
    transform: Transform
    train: Path
    torch_threads: int
    workers: int
    gpus: int
    weights: Path


def run(options: Options) -> None:
    """Initialise a network while holding the lock of its weights file, so that no other process writes it."""
    with sole_writer(options.weights.parent, f"{options.weights.stem}."):
        initialise(options, devices.acquire(options.gpus))  # before torch can see a GPU


def initialise(options: Options, device: str) -> None:
    """Write the initial weights of this seed's pretraining, and their sidecar.

    Batch-norm statistics are recomputed as for every later checkpoint of the seed. Without these statistics, an
    untrained network would not normalise its activations and would not be a fair floor.
    """
    import torch

    from workflow_scripts.timecat.backbones.initialisation import initial_classifier
    from workflow_scripts.timecat.checkpoints.files import write_weights
    from workflow_scripts.timecat.pretraining.batch_norm_statistics import recompute_batch_norm
    from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream
    from workflow_scripts.timecat.pretraining.ghost_batch_norm import set_ghost_batch
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(options.torch_threads, device)
    command.log_start_up()
    beginning, transform, train = options.beginning, options.transform, read_sidecar(options.train)
    model = initial_classifier(
        options.backbone,
        train["classes"],
        options.seed,
        transform.size,
        beginning.initialisation,
        beginning.zero_gamma,
    )
    if beginning.ghost_batch:
        set_ghost_batch(model, beginning.ghost_batch)
    if beginning.channels_last:
        model.to(memory_format=torch.channels_last)
    source = Source(options.train, train["rows"], options.workers)
    recompute_batch_norm(model.to(device), batch_norm_stream(source, beginning, transform, options.seed), transform)

    told = ("backbone", "beginning", "transform", "seed", "torch_threads")
    params = {name: getattr(options, name) for name in told}
    inputs = {"train": train["content"]}
    facts = {
        "source": options.source,
        "seed": options.seed,
        "step": 0,
        "classes": train["classes"],
        "image_size": transform.size,
    }
    description = {"backbone": options.backbone, "config": config_digest(params, inputs), **facts}
    content = write_weights(options.weights, model, description)
    write_sidecar(options.weights, content, params, inputs, {"facts": facts}, torch_settings.device_name(device))
    command.log(f"step 0 of seed {options.seed}: batch-norm statistics computed on {options.train.name}")
