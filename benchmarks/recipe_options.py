"""Measure the effect of each option of the pretraining recipe: ``python -m benchmarks.recipe_options``.

The embedded study's network trains on its generated images once per option, from the same initial weights on the same
batches; a torchvision ResNet-18 takes a few steps with each option. Steps of the options are timed alternately, in CPU
seconds of one thread, so that other load on the machine affects all options alike. The tables are written into
docs/explanation/recipe.md. These measurements are not tests.
"""

import dataclasses
import statistics
import time

import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import machine
from tests.support.images import read_split
from tests.support.studies import ROOT
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.config.backbones import LibraryBackbone, SmallResidual
from workflow_scripts.timecat.config.data_sets import Transform as TransformBlock
from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.images.views import Transform, normalise
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.randomness import key, permutation
from workflow_scripts.timecat.runtime import torch_settings

PAGE = ROOT / "docs/explanation/recipe.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
SMALL = SmallResidual(architecture="small_residual").settings()
LARGE = LibraryBackbone(architecture="resnet18").settings()
SIZE, CLASSES, SEED = 32, 16, 2
STEPS, LARGE_STEPS, UNTIMED, LAST = 300, 12, 2, 20
ROWS = {"train": 8192, "evaluation": 2000}
RECIPE = Pretrain(
    seeds=[SEED],
    batch_size=64,
    lr=0.01,
    weight_decay=0.005,
    betas=[0.9, 0.999],
    warmup_steps=20,
    label_smoothing=0.1,
    batch_norm_batches=8,
).recipe()
PLAIN, GHOST = "float32, batch norm over the batch of 64", "`ghost_batch: 16`"
# Option -> (option that it is compared with, changed keys, seed).
OPTIONS = {
    PLAIN: (None, {}, SEED),
    "another seed, for scale": (PLAIN, {}, SEED + 1),
    "`accumulation: 4`": (PLAIN, {"accumulation": 4}, SEED),
    GHOST: (PLAIN, {"ghost_batch": 16}, SEED),
    "`ghost_batch: 16`, `accumulation: 4`": (GHOST, {"ghost_batch": 16, "accumulation": 4}, SEED),
    "`initialisation: lecun_normal`": (PLAIN, {"initialisation": "lecun_normal"}, SEED),
    "`zero_gamma: true`": (PLAIN, {"zero_gamma": True}, SEED),
    "`precision: bf16`": (PLAIN, {"precision": "bf16"}, SEED),
    "`compile: true`": (PLAIN, {"compile": True}, SEED),
}
LARGE_OPTIONS = {
    PLAIN: (None, {}, SEED),
    GHOST: (PLAIN, {"ghost_batch": 16}, SEED),
    "`precision: bf16`": (PLAIN, {"precision": "bf16"}, SEED),
    "`channels_last: true`": (PLAIN, {"channels_last": True}, SEED),
    "`channels_last: true`, `precision: bf16`": (PLAIN, {"channels_last": True, "precision": "bf16"}, SEED),
}


def transform() -> Transform:
    """Return the config's default transform at SIZE pixels."""
    return TransformBlock(size=SIZE).settings()


def images_of(split: str) -> Split:
    """Return the generated images of a split, without crops."""
    return read_split(
        {"kind": "cues", "seed": 1, "rows": ROWS, "agreement": 0.9, "components": None, "label": "class"}, split
    )


def batch(split: Split, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images and labels of a step, which are the same for every option."""
    epoch, first = divmod(step, len(split) // RECIPE.batch_size)
    order = permutation(key("recipe options", epoch), np.arange(len(split)))
    rows = order[first * RECIPE.batch_size : (first + 1) * RECIPE.batch_size]
    return torch.from_numpy(split.images[rows]), torch.from_numpy(split.labels[rows])


@dataclasses.dataclass
class Result:
    """Result of an option: its run, and the loss and CPU seconds of each step."""

    run: training.Run
    recipe: Recipe
    losses: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)


def train_all(backbone: BackboneSettings, options: dict, steps: int, train: Split) -> dict[str, Result]:
    """Train with all options, one step of each alternately, and return the result of each."""
    results = {}
    for name, (_, keys, seed) in options.items():
        recipe = dataclasses.replace(RECIPE, **keys)
        results[name] = Result(training.start_run(backbone, CLASSES, recipe, seed, "cpu", SIZE), recipe)
    for step in range(steps):
        images, labels = batch(train, step)
        for result in results.values():
            begin = time.process_time()
            result.losses.append(training.train_step(result.run, images, labels, result.recipe, transform()))
            result.seconds.append(time.process_time() - begin)
    return results


def evaluated(result: Result, train: Split, evaluation: Split) -> tuple[float, torch.Tensor]:
    """Return the accuracy (percent) and features [rows, dimension] of the averaged model that a checkpoint stores."""
    batches = (batch(train, step)[0] for step in range(RECIPE.batch_norm_batches))
    parts = [part for images in batches for part in images.split(result.recipe.part)]
    model = training.averaged_model(result.run, parts, transform())
    images, labels = torch.from_numpy(evaluation.images), torch.from_numpy(evaluation.labels)
    with torch.inference_mode():
        features = model.backbone(normalise(images, transform()))
    return training.accuracy(model, [(None, images, labels)], transform()), features


def speed(results: dict[str, Result], name: str, against: str | None) -> str:
    """Return the images per CPU second of an option, or their ratio to the option ``against``, as text."""
    seconds = statistics.median(results[name].seconds[UNTIMED:])
    if against is None:
        return f"{RECIPE.batch_size / seconds:.0f}"
    return f"{statistics.median(results[against].seconds[UNTIMED:]) / seconds:.2f} x"


def learning_table(results: dict[str, Result], train: Split, evaluation: Split) -> list[str]:
    """Return the table of the embedded study's network trained with each option."""
    lines = [
        f"| option | against | loss of the first step | mean loss of the last {LAST} steps | accuracy, % | cosine of "
        "features | images per CPU second |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    outcomes = {name: evaluated(result, train, evaluation) for name, result in results.items()}
    for name, (against, _, _) in OPTIONS.items():
        first, last = results[name].losses[0], statistics.mean(results[name].losses[-LAST:])
        accuracy, features = outcomes[name]
        if against is None:
            cells = [name, "", f"{first:.4f}", f"{last:.3f}", f"{accuracy:.1f}", ""]
        else:
            other, (other_accuracy, other_features) = results[against], outcomes[against]
            cosine = functional.cosine_similarity(features, other_features).mean().item()
            cells = [
                name,
                "the first row" if against == PLAIN else against,
                f"{first - other.losses[0]:+.1e}",
                f"{last - statistics.mean(other.losses[-LAST:]):+.3f}",
                f"{accuracy - other_accuracy:+.1f}",
                f"{cosine:.4f}",
            ]
        lines.append(f"| {' | '.join([*cells, speed(results, name, against)])} |")
    return lines


def speed_table(results: dict[str, Result]) -> list[str]:
    """Return the table of a few training steps of ResNet-18 with each option."""
    lines = ["| option | loss of the first step | images per CPU second |", "|---|---:|---:|"]
    for name, (against, _, _) in LARGE_OPTIONS.items():
        first = results[name].losses[0]
        loss = f"{first:.4f}" if against is None else f"{first - results[against].losses[0]:+.1e}"
        lines.append(f"| {name} | {loss} | {speed(results, name, against)} |")
    return lines


def main() -> None:
    """Train with all options and write the tables into the page."""
    torch_settings.configure(1, compiles=True)
    train, evaluation = images_of("train"), images_of("evaluation")
    learning = learning_table(train_all(SMALL, OPTIONS, STEPS, train), train, evaluation)
    large = speed_table(train_all(LARGE, LARGE_OPTIONS, LARGE_STEPS, train))
    lines = [
        f"On one of {machine()} All rows but the first show differences from the run that they are compared with, and "
        "ratios of speed.",
        "",
        f"`small_residual` of width 8 at {SIZE} px, {STEPS} steps of {RECIPE.batch_size} generated images, "
        f"{ROWS['evaluation']:,} images for evaluation:",
        "",
        *learning,
        "",
        f"torchvision's `resnet18` at {SIZE} px, {LARGE_STEPS} steps:",
        "",
        *large,
    ]
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]))


if __name__ == "__main__":
    main()
