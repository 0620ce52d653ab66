"""What each option of the pretraining recipe changes, measured: ``python -m benchmarks.recipe_options`` (minutes, one core).

A torchvision ResNet-18 learns the made images of the embedded study, once per option, from the same initial weights on
the same batches. Steps of all options are timed in turn, in CPU seconds of one thread, so that whatever else the machine
does falls on all alike. The table goes into docs/recipe.md. Nothing here is a test.
"""

import dataclasses
import statistics
import time

import numpy as np
import torch
from torch.nn import functional

from benchmarks.run import machine
from tests.studies import ROOT
from workflow_scripts.timecat import torch_settings, training
from workflow_scripts.timecat.configuration_data_sets import Transform as TransformBlock
from workflow_scripts.timecat.datasets import Split, read_split
from workflow_scripts.timecat.randomness import key, permutation
from workflow_scripts.timecat.recipe import Recipe
from workflow_scripts.timecat.views import Transform, normalise

PAGE = ROOT / "docs/recipe.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
BACKBONE = {"architecture": "resnet18"}
SIZE, CLASSES, SEED, STEPS, UNTIMED = 32, 16, 2, 120, 5
ROWS = {"train": 4096, "evaluation": 1000}
RECIPE = Recipe(
    batch_size=64,
    lr=0.005,
    weight_decay=0.005,
    betas=[0.9, 0.999],
    warmup_steps=20,
    label_smoothing=0.1,
    batch_norm_batches=8,
)
PLAIN, GHOST = "float32, batch norm over the batch of 64", "`ghost_batch: 16`"
# Option -> (what it is compared with, keys, seed).
OPTIONS = {
    PLAIN: (None, {}, SEED),
    "another seed, for scale": (PLAIN, {}, SEED + 1),
    "`accumulation: 4`": (PLAIN, {"accumulation": 4}, SEED),
    GHOST: (PLAIN, {"ghost_batch": 16}, SEED),
    "`ghost_batch: 16`, `accumulation: 4`": (GHOST, {"ghost_batch": 16, "accumulation": 4}, SEED),
    "`initialisation: lecun_normal`": (PLAIN, {"initialisation": "lecun_normal"}, SEED),
    "`zero_gamma: true`": (PLAIN, {"zero_gamma": True}, SEED),
    "`precision: bf16`": (PLAIN, {"precision": "bf16"}, SEED),
    "`channels_last: true`": (PLAIN, {"channels_last": True}, SEED),
    "`compile: true`": (PLAIN, {"compile": True}, SEED),
}


def transform() -> Transform:
    """The config's defaults at SIZE pixels."""
    values = TransformBlock(size=SIZE).model_dump()
    return Transform(**{field.name: values[field.name] for field in dataclasses.fields(Transform)})


def images_of(split: str) -> Split:
    """The made images, as they are: no crops."""
    return read_split({"kind": "cues", "seed": 1, "rows": ROWS, "agreement": 0.9, "label": "class"}, split)


def batch(split: Split, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of a step, the same for every option."""
    epoch, first = divmod(step, len(split) // RECIPE.batch_size)
    order = permutation(key("recipe options", epoch), np.arange(len(split)))
    rows = order[first * RECIPE.batch_size : (first + 1) * RECIPE.batch_size]
    return torch.from_numpy(split.images[rows]), torch.from_numpy(split.labels[rows])


@dataclasses.dataclass
class Result:
    """What became of an option: losses of each step, seconds per step, accuracy (percent), features [rows, dimension]."""

    losses: list[float]
    seconds: list[float]
    accuracy: float = 0.0
    features: torch.Tensor | None = None


def train_all(train: Split, evaluation: Split) -> dict[str, Result]:
    """All options, step by step in turn."""
    how = transform()
    recipes = {name: dataclasses.replace(RECIPE, **keys) for name, (_, keys, _) in OPTIONS.items()}
    runs = {
        name: training.start_run(BACKBONE, CLASSES, recipes[name], seed, "cpu", SIZE)
        for name, (_, _, seed) in OPTIONS.items()
    }
    results = {name: Result([], []) for name in OPTIONS}
    for step in range(STEPS):
        images, labels = batch(train, step)
        for name, run in runs.items():
            begin = time.process_time()
            results[name].losses.append(training.train_step(run, images, labels, recipes[name], how))
            results[name].seconds.append(time.process_time() - begin)
    shown, labels = torch.from_numpy(evaluation.images), torch.from_numpy(evaluation.labels)
    for name, run in runs.items():
        parts = [
            images
            for step in range(RECIPE.batch_norm_batches)
            for images in batch(train, step)[0].split(recipes[name].part)
        ]
        model = training.averaged_model(run, parts, how)
        results[name].accuracy = training.accuracy(model, [(None, shown, labels)], how)
        with torch.inference_mode():
            results[name].features = model.backbone(normalise(shown, how))
    return results


def table(results: dict[str, Result]) -> list[str]:
    """The lines of the table."""
    lines = [
        "| option | against | loss of the first step | mean loss of the last 20 steps | accuracy, % | cosine of features "
        "| images per CPU second |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    seconds = {name: statistics.median(result.seconds[UNTIMED:]) for name, result in results.items()}
    for name, (against, _, _) in OPTIONS.items():
        result, other = results[name], results.get(against)
        last = statistics.mean(result.losses[-20:])
        if other is None:
            speed = f"{RECIPE.batch_size / seconds[name]:.0f}"
            lines.append(f"| {name} | | {result.losses[0]:.4f} | {last:.3f} | {result.accuracy:.1f} | | {speed} |")
            continue
        cosine = functional.cosine_similarity(result.features, other.features).mean().item()
        lines.append(
            f"| {name} | {'plain' if against == PLAIN else against} | {result.losses[0] - other.losses[0]:+.1e} "
            f"| {last - statistics.mean(other.losses[-20:]):+.3f} | {result.accuracy - other.accuracy:+.1f} | {cosine:.4f} "
            f"| {seconds[against] / seconds[name]:.2f} x |"
        )
    return lines


def main() -> None:
    """Train, and put the table into the page."""
    torch_settings.configure(1, compiles=True)
    lines = table(train_all(images_of("train"), images_of("evaluation")))
    about = (
        f"ResNet-18 at {SIZE} px, batches of {RECIPE.batch_size}, {STEPS} steps, evaluated on {ROWS['evaluation']} images, on "
        f"one of {machine()} Rows but the first are differences from the run that they are compared with, and ratios of speed."
    )
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", "", about, "", *lines, "", f"{END}{after}"]))


if __name__ == "__main__":
    main()
