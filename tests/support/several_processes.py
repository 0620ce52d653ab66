"""Train in several processes of one job, and save the result for comparison with a single process.

    python -m tests.support.several_processes SIZE OUTPUT.pt CASES BETON ROWS

SIZE: number of processes. CASES: JSON object of recipes by name. BETON, ROWS: training file and its number of rows. The
leading process writes OUTPUT.pt.
"""

import functools
import json
import sys
from pathlib import Path

import torch

from tests.unit.pretraining.test_training import BACKBONE, TRANSFORM
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.pretraining import batch_norm_statistics, batches, compiling, recipe, training
from workflow_scripts.timecat.runtime import torch_settings, world

SEED, STEPS = 2, 6


def train(processes: world.World, settings: dict, beton: str, rows: int) -> dict:
    """Train for STEPS steps, and return the losses, the parameters and the averaged model (leading process only).

    Training is in float64, where the order of sums changes a result far less than an error in the code would.
    """
    settings = recipe.Recipe(**settings)
    run = training.start_run(BACKBONE, 16, settings, SEED, "cpu", TRANSFORM.size, processes)
    losses, stream = (
        [],
        batches.batch_stream(batches.Source(beton, rows), settings, TRANSFORM, SEED, range(0, STEPS), processes),
    )
    for images, labels in stream:
        losses.append(training.train_step(run, images, labels, settings, TRANSFORM))
    processes.wait_for_all()
    stream = batches.batch_norm_stream(batches.Source(beton, rows), settings, TRANSFORM, SEED)
    averaged = training.averaged_model(run, stream, TRANSFORM).state_dict() if processes.leads else None
    return {"losses": losses, "parameters": dict(run.model.named_parameters()), "averaged": averaged}


def main(processes: world.World) -> None:
    torch_settings.configure(1)
    torch.set_default_dtype(torch.float64)
    training.compiled = functools.partial(compiling.compiled, backend="aot_eager")  # fast, same rounding
    training.normalise = lambda images, transform: views.normalise(images, transform).double()
    batch_norm_statistics.normalise = training.normalise
    _, output, cases, beton, rows = sys.argv[1:]
    processes.connect()
    made = {name: train(processes, case, beton, int(rows)) for name, case in json.loads(cases).items()}
    processes.disconnect()
    if processes.leads:
        torch.save(made, Path(output))


if __name__ == "__main__":
    if world.follows():
        main(world.follow())
    else:
        with world.lead("tests.support.several_processes", "cpu", int(sys.argv[1])) as leader:
            main(leader)
