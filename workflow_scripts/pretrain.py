"""Pretrain one seed from the milestone before (or from nothing) to a milestone."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.artifacts.source_code import code_fingerprint
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.runtime import command, devices, nodes, world
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

if TYPE_CHECKING:
    from workflow_scripts.timecat.backbones.build import Classifier
    from workflow_scripts.timecat.pretraining.training import Run
    from workflow_scripts.timecat.runtime.resume import ResumeFile, TrainingLog

LOG_EVERY = 10  # steps
EVALUATION_BATCH = 500  # images


@dataclass(frozen=True)
class Origin:
    """What sidecars say of the outputs: params without the step, inputs' digests, facts of the model, name of the device."""

    params: dict[str, Any]
    inputs: dict[str, str]
    facts: dict[str, Any]
    device: str


def arguments_of_command_line() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--step", required=True, type=int, help="the milestone")
    parser.add_argument("--backbone", required=True, type=command.json_value, help="the backbone's block of the config")
    parser.add_argument("--recipe", required=True, type=json_of(Recipe))
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--train", required=True, type=Path, help=".beton")
    parser.add_argument("--evaluation", required=True, type=Path, help=".beton")
    parser.add_argument("--previous", nargs="*", default=[], help="training state to continue from")
    parser.add_argument("--resume-seconds", required=True, type=float)
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int, help="on each node")
    parser.add_argument("--gpus", required=True, type=int, help="on all nodes together")
    parser.add_argument("--nodes", required=True, type=int, help="of a Slurm job, that share the work")
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--training-log", required=True, type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = arguments_of_command_line()
    if world.follows():
        pretrain(arguments, world.follow())
        return
    if nodes.joins():
        share_node(arguments, nodes.join())
        return
    with sole_writer(arguments.weights.parent, f"{arguments.weights.stem}."):
        share_node(arguments)


def share_node(arguments: argparse.Namespace, node: nodes.Node | None = None) -> None:
    """Pretrain with this node's GPUs; ``node`` where a leader on another one started this process."""
    total = arguments.nodes
    lease = devices.lease(
        arguments.gpus // total, usable=lambda count: processes_of_node(arguments.recipe, count, total)
    )
    count = max(1, len(lease.devices))
    if node is None and total > 1:
        node = nodes.first(total, count)
    if node is not None and count != node.count:
        raise UserError(f"this node has {count} GPUs for the job, and the first one {node.count}: ask for equal nodes")
    with world.lead("workflow_scripts.pretrain", lease.kind, count, node) as leader:
        pretrain(arguments, leader)


def processes_of_node(recipe: Recipe, count: int, total: int) -> int:
    """The largest number of processes of a node, at most ``count``, so that those of ``total`` nodes can share a batch."""
    for each in range(count, 0, -1):
        if processes_for(recipe, each * total) == each * total:
            return each
    raise UserError(f"limits.pretrain_nodes: a batch cannot be divided among {total} nodes; give fewer")


def processes_for(recipe: Recipe, count: int) -> int:
    """The largest number of processes, at most ``count``, that can share a batch."""
    if count == 1:
        return 1
    from workflow_scripts.timecat.pretraining.batch_shares import usable_processes

    return usable_processes(recipe, count)


def pretrain(arguments: argparse.Namespace, processes: world.World) -> None:
    """Train to the milestone; the leader of the processes that share each batch averages, evaluates and writes."""
    from workflow_scripts.timecat.pretraining import training
    from workflow_scripts.timecat.pretraining.batches import Source, batch_stream
    from workflow_scripts.timecat.runtime import resume, torch_settings
    from workflow_scripts.timecat.runtime.progress import Progress

    recipe, transform = arguments.recipe, arguments.transform
    torch_settings.configure(arguments.torch_threads, processes.device, recipe.compile)
    processes.connect()
    source = read_sidecar(arguments.train)
    rows, seed = source["rows"], arguments.seed
    workers = max(1, arguments.workers * arguments.nodes // processes.size)

    # Neither the milestones on the way nor the step itself are part of what a run is: a chain is one run.
    params = {name: getattr(arguments, name) for name in ("backbone", "recipe", "transform", "seed", "torch_threads")}
    inputs = {"train": source["content"]}
    identity = digest({"params": params, "inputs": inputs})
    fingerprint = digest([identity, arguments.step, code_fingerprint("pretrain")])
    classes, device = source["classes"], processes.device
    run = training.start_run(arguments.backbone, classes, recipe, seed, device, transform.size, processes)
    if processes.leads:
        training_log = resume.TrainingLog(arguments.training_log)
        resume_file = resume.ResumeFile(arguments.weights, arguments.resume_seconds)
        restore(run, arguments, resume_file, training_log, identity, fingerprint)
    if processes.size > 1:
        begin = processes.from_leader(training.state_bytes(run, identity) if processes.leads else None)
        training.load_state(begin, run, identity)
    stream = batch_stream(
        Source(arguments.train, rows, workers), recipe, transform, seed, range(run.step, arguments.step), processes
    )
    if not processes.leads:
        for images, labels in stream:
            training.train_step(run, images, labels, recipe, transform)
        processes.disconnect()
        return

    def state() -> bytes:
        return training.state_bytes(run, fingerprint, {"log_bytes": training_log.position()})

    progress = Progress(arguments.step, f"pretrain seed {seed}", "steps", done=run.step)
    command.log_start_up()
    for images, labels in stream:
        loss = training.train_step(run, images, labels, recipe, transform)
        if run.step % LOG_EVERY == 0 or run.step == arguments.step:
            training_log.add(step=run.step, loss=loss, loss_average=run.loss_average)
        progress.advance(note=f"loss {run.loss_average:.3f}")
        resume_file.offer(state, run.step)
    progress.close()
    # What follows, averaging and evaluation, may take long too; a job that is stopped there need not train again.
    resume_file.offer(state, run.step, due=True)
    resume_file.stop_watching()
    processes.disconnect()

    model, facts = averaged(run, arguments, recipe, transform, source)
    inputs |= {"evaluation": read_sidecar(arguments.evaluation)["content"]}
    device_name = torch_settings.device_name(device, processes.size)
    write_outputs(arguments, run, model, identity, Origin(params, inputs, facts, device_name))
    resume_file.remove()  # before the log takes its name: a resume file counts on the log beside it
    training_log.finish()
    command.log(f"step {run.step}: loss {run.loss_average:.4f}, {arguments.source} {facts['source_accuracy']:.2f} %")


def averaged(
    run: "Run", arguments: argparse.Namespace, recipe: Recipe, transform: Transform, source: dict[str, Any]
) -> "tuple[Classifier, dict[str, Any]]":
    """The model for inference, and what its file says of it."""
    from workflow_scripts.timecat.images.ffcv.reader import batches
    from workflow_scripts.timecat.pretraining import training
    from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream

    seed, workers, rows = arguments.seed, arguments.workers, source["rows"]
    batch_norm_batches = batch_norm_stream(Source(arguments.train, rows, workers), recipe, transform, seed)
    model = training.averaged_model(run, batch_norm_batches, transform)
    evaluation_rows = range(read_sidecar(arguments.evaluation)["rows"])
    evaluation_batches = batches(arguments.evaluation, evaluation_rows, EVALUATION_BATCH, transform, None, workers)
    return model, {
        "source": arguments.source,
        "seed": seed,
        "step": arguments.step,
        "classes": source["classes"],
        "image_size": transform.size,
        "final_train_loss": run.loss_average,
        "source_accuracy": training.accuracy(model, evaluation_batches, transform),
    }


def restore(
    run: "Run",
    arguments: argparse.Namespace,
    resume_file: "ResumeFile",
    training_log: "TrainingLog",
    identity: str,
    fingerprint: str,
) -> None:
    """Bring a fresh run to where it goes on from: an interrupted job's state, or the previous milestone's, if any."""
    from workflow_scripts.timecat.pretraining import training

    saved = resume_file.read()
    if saved is not None:
        if training.load_state(saved, run, fingerprint, accept=lambda state: training_log.keep(state["log_bytes"])):
            command.log(f"continuing an interrupted job after step {run.step}")
            return
        command.log(f"ignoring {resume_file.path}: params or code have changed since, or its log is gone")
    training_log.keep(0)
    for previous in arguments.previous:
        if not training.load_state(Path(previous).read_bytes(), run, identity):
            raise UserError(
                f"{previous} belongs to another recipe, backbone or data set than this job; remove it and run again"
            )
        command.log(f"continuing from {previous} after step {run.step}")


def write_outputs(
    arguments: argparse.Namespace, run: "Run", model: "Classifier", identity: str, origin: Origin
) -> None:
    """Write weights and training state, each with its sidecar."""
    from workflow_scripts.timecat.checkpoints import files
    from workflow_scripts.timecat.pretraining import training

    facts, inputs, params = origin.facts, origin.inputs, origin.params | {"step": arguments.step}
    of_params = {name: params[name] for name in ("backbone", "recipe")}
    description = {**of_params, "config": config_digest(params, inputs), **facts}
    content = files.write_weights(arguments.weights, model, description)
    write_sidecar(arguments.weights, content, params, inputs, {"facts": facts}, origin.device)
    state = training.state_bytes(run, identity)
    write_bytes(arguments.state, state)
    write_sidecar(arguments.state, digest(state), params, inputs, {"step": arguments.step}, origin.device)


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
