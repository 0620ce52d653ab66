"""Divide each batch among the processes of a pretraining job, so that a step equals the step of a single process.

Each process has consecutive images of the batch. If these are complete parts of the batch (recipe.part) or complete
ghost batches, batch norm computes the same statistics as in one process. If several processes have images of the same
part, they share its statistics.
"""

from dataclasses import dataclass, replace

from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.runtime.world import World


@dataclass(frozen=True)
class Share:
    """Share of each batch that one process computes.

    images: number of images. part: number of images in one forward pass. processes: number of consecutive ranks over
    whose images batch norm computes joint statistics; with 1, the statistics are over the images of this process alone
    (and over ghost batches if the recipe sets them). first_part: number of the process's first part, counted from 0
    over all processes.
    """

    images: int
    part: int
    processes: int
    first_part: int


def share_of(recipe: Recipe, world: World) -> Share | None:
    """Return the share of a process, or None if a batch cannot be divided among the processes of ``world``."""
    if recipe.batch_size % world.size:
        return None
    images, parts = recipe.batch_size // world.size, recipe.accumulation
    if parts % world.size and world.size % parts:
        return None
    passes = max(1, parts // world.size)
    part = images // passes
    group = recipe.ghost_batch or recipe.part  # number of images with joint statistics
    if part % group and group % part:
        return None
    processes = max(1, group // part)
    if processes > 1 and recipe.compile:  # a compiled network cannot sum over processes between its layers
        return None
    return Share(images, part, processes, world.rank * passes)


def needed_share(recipe: Recipe, world: World) -> Share:
    """Return the share of a process. Raise ValueError if a batch cannot be divided among the processes of ``world``."""
    share = share_of(recipe, world)
    if share is None:
        raise ValueError(f"a batch of {recipe.batch_size} images cannot be divided among {world.size} processes")
    return share


def usable_processes(recipe: Recipe, count: int) -> int:
    """Return the largest number of processes, at most ``count``, among which a batch can be divided."""
    return next(size for size in range(count, 0, -1) if share_of(recipe, World(size=size)) is not None)


def next_accumulation(recipe: Recipe, size: int = 1) -> int | None:
    """Return the next larger ``accumulation`` with smaller parts in each of ``size`` processes, or None."""
    now = needed_share(recipe, World(size=size)).part
    for parts in range(recipe.accumulation + 1, recipe.batch_size // 2 + 1):  # a part of one image has no statistics
        if recipe.batch_size % parts == 0 and (recipe.batch_size // parts) % (recipe.ghost_batch or 1) == 0:
            share = share_of(replace(recipe, accumulation=parts), World(size=size))
            if share is not None and share.part < now:
                return parts
    return None
