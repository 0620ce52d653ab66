"""Pretrain one seed to a milestone, from the previous milestone or from scratch (code of the stage `pretrain`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.artifacts.source_code import code_fingerprint
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.runtime import command, devices, nodes, world
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

if TYPE_CHECKING:
    from workflow_scripts.timecat.backbones.build import Classifier
    from workflow_scripts.timecat.pretraining.training import Run
    from workflow_scripts.timecat.runtime.resume import ResumeFile, TrainingLog

STAGE = "pretrain"  # a resume file is valid only for this stage's code
MODULE = "workflow_scripts.pretrain"  # module that the other processes of a job run
LOG_EVERY = 10  # steps
EVALUATION_BATCH = 500  # images


@dataclass(frozen=True)
class Options:
    """Command-line options of the stage `pretrain`."""

    source: str
    seed: int
    step: int
    backbone: BackboneSettings
    recipe: Recipe
    transform: Transform
    train: Path
    evaluation: Path
    previous: list[str]
    resume_seconds: float
    torch_threads: int
    workers: int
    gpus: int
    nodes: int
    weights: Path
    state: Path
    training_log: Path


@dataclass(frozen=True)
class Origin:
    """Contents of the outputs' sidecars.

    params: params of the stage without the step. inputs: name -> digest of each input. facts: facts about the model.
    device: name of the device.
    """

    params: dict[str, Any]
    inputs: dict[str, str]
    facts: dict[str, Any]
    device: str


def run(options: Options) -> None:
    """Pretrain in this process, which Snakemake or the leader of a job started."""
    if world.follows():
        pretrain(options, world.follow())
        return
    if nodes.joins():
        share_node(options, nodes.join())
        return
    with sole_writer(options.weights.parent, f"{options.weights.stem}."):
        share_node(options)


def share_node(options: Options, node: nodes.Node | None = None) -> None:
    """Pretrain with the GPUs of this node.

    node: this node, if the leader on another node started this process; else None.
    """
    total = options.nodes
    lease = devices.lease(options.gpus // total, usable=lambda count: processes_of_node(options.recipe, count, total))
    count = max(1, len(lease.devices))
    if node is None and total > 1:
        node = nodes.first(total, count)
    if node is not None and count != node.count:
        raise UserError(
            f"this node has {count} GPUs for the job, but the first node has {node.count}: request nodes that all have "
            "the same number of GPUs"
        )
    with world.lead(MODULE, lease.kind, count, node) as leader:
        pretrain(options, leader)


def processes_of_node(recipe: Recipe, count: int, total: int) -> int:
    """Return the largest number of processes per node, at most ``count``, if ``total`` nodes share each batch."""
    for each in range(count, 0, -1):
        if processes_for(recipe, each * total) == each * total:
            return each
    raise UserError(f"limits.pretrain_nodes: a batch cannot be divided among {total} nodes; set a lower number")


def processes_for(recipe: Recipe, count: int) -> int:
    """Return the largest number of processes, at most ``count``, that can share a batch."""
    if count == 1:
        return 1
    from workflow_scripts.timecat.pretraining.batch_shares import usable_processes

    return usable_processes(recipe, count)


def pretrain(options: Options, processes: world.World) -> None:
    """Train to the milestone as one of ``processes``; the leader also averages, evaluates and writes the outputs."""
    from workflow_scripts.timecat.pretraining import training
    from workflow_scripts.timecat.pretraining.batches import Source, batch_stream
    from workflow_scripts.timecat.runtime import resume, torch_settings
    from workflow_scripts.timecat.runtime.progress import Progress

    recipe, transform = options.recipe, options.transform
    torch_settings.configure(options.torch_threads, processes.device, recipe.compile)
    processes.connect()
    source = read_sidecar(options.train)
    rows, seed = source["rows"], options.seed
    workers = max(1, options.workers * options.nodes // processes.size)

    # A run's identity does not contain the step or earlier milestones, because a chain of milestones is one run.
    params = {name: getattr(options, name) for name in ("backbone", "recipe", "transform", "seed", "torch_threads")}
    inputs = {"train": source["content"]}
    identity = digest({"params": params, "inputs": inputs})
    fingerprint = digest([identity, options.step, code_fingerprint(STAGE)])
    classes, device = source["classes"], processes.device
    run = training.start_run(options.backbone, classes, recipe, seed, device, transform.size, processes)
    if processes.leads:
        training_log = resume.TrainingLog(options.training_log)
        resume_file = resume.ResumeFile(options.weights, options.resume_seconds)
        restore(run, options, resume_file, training_log, identity, fingerprint)
    if processes.size > 1:
        begin = processes.from_leader(training.state_bytes(run, identity) if processes.leads else None)
        training.load_state(begin, run, identity)
    stream = batch_stream(
        Source(options.train, rows, workers), recipe, transform, seed, range(run.step, options.step), processes
    )
    if not processes.leads:
        for images, labels in stream:
            training.train_step(run, images, labels, recipe, transform)
        processes.disconnect()
        return

    def state() -> bytes:
        return training.state_bytes(run, fingerprint, {"log_bytes": training_log.position()})

    progress = Progress(options.step, f"pretrain seed {seed}", "steps", done=run.step)
    command.log_start_up()
    for images, labels in stream:
        loss = training.train_step(run, images, labels, recipe, transform)
        if run.step % LOG_EVERY == 0 or run.step == options.step:
            training_log.add(step=run.step, loss=loss, loss_average=run.loss_average)
        progress.advance(note=f"loss {run.loss_average:.3f}")
        resume_file.offer(state, run.step)
    progress.close()
    # Averaging and evaluation may take long, too. A job that is stopped there should not have to train again.
    resume_file.offer(state, run.step, due=True)
    resume_file.stop_watching()
    processes.disconnect()

    model, facts = averaged(run, options, recipe, transform, source)
    inputs |= {"evaluation": read_sidecar(options.evaluation)["content"]}
    device_name = torch_settings.device_name(device, processes.size)
    write_outputs(options, run, model, identity, Origin(params, inputs, facts, device_name))
    resume_file.remove()  # before the log gets its final name, because a resume file refers to the temporary log
    training_log.finish()
    command.log(f"step {run.step}: loss {run.loss_average:.4f}, {options.source} {facts['source_accuracy']:.2f} %")


def averaged(
    run: "Run", options: Options, recipe: Recipe, transform: Transform, source: dict[str, Any]
) -> "tuple[Classifier, dict[str, Any]]":
    """Return (averaged model for inference, facts about it for the metadata of its file and sidecar)."""
    from workflow_scripts.timecat.images.ffcv.reader import batches
    from workflow_scripts.timecat.pretraining import training
    from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream

    seed, workers, rows = options.seed, options.workers, source["rows"]
    batch_norm_batches = batch_norm_stream(Source(options.train, rows, workers), recipe, transform, seed)
    model = training.averaged_model(run, batch_norm_batches, transform)
    evaluation_rows = range(read_sidecar(options.evaluation)["rows"])
    evaluation_batches = batches(options.evaluation, evaluation_rows, EVALUATION_BATCH, transform, None, workers)
    return model, {
        "source": options.source,
        "seed": seed,
        "step": options.step,
        "classes": source["classes"],
        "image_size": transform.size,
        "final_train_loss": run.loss_average,
        "source_accuracy": training.accuracy(model, evaluation_batches, transform),
    }


def restore(
    run: "Run",
    options: Options,
    resume_file: "ResumeFile",
    training_log: "TrainingLog",
    identity: str,
    fingerprint: str,
) -> None:
    """Load the state of an interrupted job, if there is one, or of the previous milestone into a fresh run."""
    from workflow_scripts.timecat.pretraining import training

    saved = resume_file.read()
    if saved is not None:
        if training.load_state(saved, run, fingerprint, accept=lambda state: training_log.keep(state["log_bytes"])):
            command.log(f"continuing an interrupted job after step {run.step}")
            return
        command.log(f"ignoring {resume_file.path}: params or code have changed since then, or its log is missing")
    training_log.keep(0)
    for previous in options.previous:
        if not training.load_state(Path(previous).read_bytes(), run, identity):
            raise UserError(
                f"{previous} was written with a different recipe, backbone or data set; remove this file and run again"
            )
        command.log(f"continuing from {previous} after step {run.step}")


def write_outputs(options: Options, run: "Run", model: "Classifier", identity: str, origin: Origin) -> None:
    """Write weights and training state, each with its sidecar."""
    from workflow_scripts.timecat.checkpoints import files
    from workflow_scripts.timecat.pretraining import training

    facts, inputs, params = origin.facts, origin.inputs, origin.params | {"step": options.step}
    of_params = {name: params[name] for name in ("backbone", "recipe")}
    description = {**of_params, "config": config_digest(params, inputs), **facts}
    content = files.write_weights(options.weights, model, description)
    write_sidecar(options.weights, content, params, inputs, {"facts": facts}, origin.device)
    state = training.state_bytes(run, identity)
    write_bytes(options.state, state)
    write_sidecar(options.state, digest(state), params, inputs, {"step": options.step}, origin.device)
