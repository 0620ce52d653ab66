"""Read the batches of a pretraining run, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining.recipe import Beginning, Recipe
from workflow_scripts.timecat.randomness import key, permutation
from workflow_scripts.timecat.runtime.world import ALONE, World


@dataclass(frozen=True)
class Source:
    """Source of training images.

    beton: path of the .beton file. rows: number of its rows. workers: number of workers that decode images, which does
    not affect the images.
    """

    beton: Path | str
    rows: int
    workers: int = 1


def batch_stream(
    source: Source, recipe: Recipe, transform: Transform, seed: int, steps: range, world: World = ALONE
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of consecutive steps of a run: (images uint8 [b, s, s, 3], labels int64 [b]).

    If several processes share the batches, each process gets its share of every batch: consecutive images, in the order
    of ranks. The images of step s, their crops and their flips depend on (seed, s) alone, so a run that starts in the
    middle of an epoch gets the same images as an uninterrupted run. An epoch consists of all full batches of a
    permutation of the rows; the remaining rows are left out.
    """
    rows = source.rows
    per_epoch = rows // recipe.batch_size
    if per_epoch == 0:
        raise UserError(
            f"pretrain.batch_size {recipe.batch_size} exceeds the {rows} training rows of {source.beton}; set a "
            "lower value"
        )
    step = steps.start
    while step < steps.stop:
        epoch, first = divmod(step, per_epoch)
        count = min(per_epoch - first, steps.stop - step)
        order = permutation(key("pretrain", "order", seed, epoch), np.arange(rows))
        wanted = order[first * recipe.batch_size : (first + count) * recipe.batch_size]
        share = recipe.batch_size // world.size
        wanted = wanted.reshape(count, world.size, share)[:, world.rank].ravel()
        crop_key = key("pretrain", "crop", seed, epoch)
        for _, images, labels in batches(source.beton, wanted, share, transform, crop_key, source.workers):
            yield images, labels
        step += count


def batch_norm_stream(
    source: Source, recipe: Recipe | Beginning, transform: Transform, seed: int
) -> Iterator[torch.Tensor]:
    """Yield augmented training images (as in batch_stream) for batch-norm statistics, the same at every milestone.

    The images are ``batch_norm_batches`` batches, or fewer if there are too few rows. Each yielded tensor is one part
    of a batch (``recipe.part`` images).
    """
    order = permutation(key("pretrain", "batch norm order", seed), np.arange(source.rows))
    wanted = order[: recipe.batch_norm_batches * recipe.batch_size]
    wanted = wanted[: max(1, len(wanted) // recipe.batch_size) * recipe.batch_size]
    crop_key = key("pretrain", "batch norm crop", seed)
    for _, images, _ in batches(source.beton, wanted, recipe.part, transform, crop_key, source.workers):
        yield images
