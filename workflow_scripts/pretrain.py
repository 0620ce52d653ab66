"""Pretrain one seed from the milestone before (or from nothing) to a milestone."""

import os
from pathlib import Path

from workflow_scripts.timecat import command, devices
from workflow_scripts.timecat.artifacts import digest, read_sidecar, write_bytes, write_sidecar

LOG_EVERY = 10  # steps


def arguments_of_command_line():
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--step", required=True, type=int, help="the milestone")
    parser.add_argument("--backbone", required=True, type=command.json_value, help="the backbone's block of the config")
    parser.add_argument("--recipe", required=True, type=command.json_value)
    parser.add_argument("--transform", required=True, type=command.json_value)
    parser.add_argument("--train", required=True, type=Path, help=".beton")
    parser.add_argument("--evaluation", required=True, type=Path, help=".beton")
    parser.add_argument("--previous", nargs="*", default=[], help="training state to continue from")
    parser.add_argument("--resume-seconds", required=True, type=float)
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--training-log", required=True, type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = arguments_of_command_line()
    device = devices.acquire(arguments.gpus)

    from workflow_scripts.timecat import resume, torch_settings, training
    from workflow_scripts.timecat.ffcv_reader import batches
    from workflow_scripts.timecat.progress import Progress
    from workflow_scripts.timecat.recipe import Recipe, batch_norm_stream, batch_stream
    from workflow_scripts.timecat.views import Transform

    torch_settings.configure(arguments.torch_threads)
    recipe, transform = Recipe(**arguments.recipe), Transform(**arguments.transform)
    source, evaluation = read_sidecar(arguments.train), read_sidecar(arguments.evaluation)
    rows, seed, workers = source["rows"], arguments.seed, arguments.workers

    # Neither the milestones on the way nor the step itself are part of what a run is: a chain is one run.
    params = {name: getattr(arguments, name) for name in ("backbone", "recipe", "transform", "seed", "torch_threads")}
    inputs = {"train": source["content"]}
    identity = digest({"params": params, "inputs": inputs})
    run = training.start_run(arguments.backbone, source["classes"], recipe, seed, device)
    resume_file = resume.ResumeFile(arguments.weights, arguments.resume_seconds)
    log_bytes = restore(run, arguments, resume_file, identity)
    training_log = resume.TrainingLog(arguments.training_log, log_bytes)
    fingerprint = resume_fingerprint(identity, arguments.step)

    progress = Progress(arguments.step, f"pretrain seed {seed}", "steps", done=run.step)
    stream = batch_stream(arguments.train, rows, recipe, transform, seed, run.step, arguments.step, workers)
    command.log_start_up()
    for images, labels in stream:
        loss = training.train_step(run, images, labels, recipe, transform)
        if run.step % LOG_EVERY == 0 or run.step == arguments.step:
            training_log.add(step=run.step, loss=loss, loss_average=run.loss_average)
        progress.advance(note=f"loss {run.loss_average:.3f}")
        resume_file.offer(
            lambda: training.state_bytes(run, fingerprint, {"log_bytes": training_log.position()}), run.step
        )
    progress.close()

    model = training.averaged_model(
        run, batch_norm_stream(arguments.train, rows, recipe, transform, seed, workers), transform
    )
    evaluation_batches = batches(arguments.evaluation, range(evaluation["rows"]), 500, transform, None, workers)
    facts = {
        "source": arguments.source,
        "seed": seed,
        "step": arguments.step,
        "classes": source["classes"],
        "final_train_loss": run.loss_average,
        "source_accuracy": training.accuracy(model, evaluation_batches, transform),
    }
    write_outputs(arguments, run, model, params, inputs, identity, facts, torch_settings.device_name(device))
    training_log.finish()
    resume_file.remove()
    command.log(f"step {run.step}: loss {run.loss_average:.4f}, {arguments.source} {facts['source_accuracy']:.2f} %")


def resume_fingerprint(identity: str, step: int) -> str:
    """What a resume file must match: the run, the milestone and the code."""
    from workflow_scripts.timecat import resume

    return digest([identity, step, resume.code_fingerprint("pretrain")])


def restore(run, arguments, resume_file, identity: str) -> int:
    """Bring a fresh run to where it goes on from; returns how many bytes of the interrupted log are valid."""
    from workflow_scripts.timecat import training
    from workflow_scripts.timecat.artifacts import UserError

    saved = resume_file.read()
    if saved is not None:
        state = training.load_state(saved, run, resume_fingerprint(identity, arguments.step))
        if state is not None:
            command.log(f"continuing an interrupted job after step {run.step}")
            return state["log_bytes"]
        command.log(f"ignoring {resume_file.path}: params or code have changed since")
    for previous in arguments.previous:
        if training.load_state(Path(previous).read_bytes(), run, identity) is None:
            raise UserError(
                f"{previous} belongs to another recipe, backbone or data set than this job; remove it and run again"
            )
        command.log(f"continuing from {previous} after step {run.step}")
    return 0


def write_outputs(arguments, run, model, params, inputs, identity, facts, device_name) -> None:
    """Weights and training state, each with its sidecar."""
    from workflow_scripts.timecat import checkpoints, training

    config = digest({"run": identity, "step": arguments.step})
    description = {"backbone": arguments.backbone, "config": config, **facts}
    content = checkpoints.write_weights(arguments.weights, model, description)
    params = params | {"step": arguments.step}
    write_sidecar(arguments.weights, content, params, inputs, {"facts": facts}, device_name)
    state = training.state_bytes(run, identity)
    write_bytes(arguments.state, state)
    write_sidecar(arguments.state, digest(state), params, inputs, {"step": arguments.step}, device_name)


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
