"""How the processes of a pretraining job share a batch, so that a step is the one of a single process with all of it.

Each process has consecutive images of the batch. Where it has whole parts of it (recipe.part) or whole ghost batches,
its batch norm is as it would be in one process; where several processes have one part, they share its statistics.
"""

from dataclasses import dataclass, replace

from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.runtime.world import World


@dataclass(frozen=True)
class Share:
    """What one process does of each step.

    images: of the batch. part: how many of them pass through the network at once. processes: consecutive ranks over
    whose images batch norm takes statistics together; 1: over its own (and then over ghost batches where the recipe says
    so). first_part: number of its first part, from 0 over all processes.
    """

    images: int
    part: int
    processes: int
    first_part: int


def share_of(recipe: Recipe, world: World) -> Share | None:
    """The share of a process, or None where a batch cannot be divided among as many."""
    if recipe.batch_size % world.size:
        return None
    images, parts = recipe.batch_size // world.size, recipe.accumulation
    if parts % world.size and world.size % parts:
        return None
    passes = max(1, parts // world.size)
    part = images // passes
    group = recipe.ghost_batch or recipe.part  # images whose statistics are taken together
    if part % group and group % part:
        return None
    processes = max(1, group // part)
    if processes > 1 and recipe.compile:  # a sum over processes in the middle of the network is not for a compiler
        return None
    return Share(images, part, processes, world.rank * passes)


def needed_share(recipe: Recipe, world: World) -> Share:
    """Return the share of a process of a world that the recipe allows (see usable_processes)."""
    share = share_of(recipe, world)
    if share is None:
        raise ValueError(f"a batch of {recipe.batch_size} images cannot be divided among {world.size} processes")
    return share


def usable_processes(recipe: Recipe, count: int) -> int:
    """The largest number of processes, at most ``count``, that a batch can be divided among."""
    return next(size for size in range(count, 0, -1) if share_of(recipe, World(size=size)) is not None)


def next_accumulation(recipe: Recipe, size: int = 1) -> int | None:
    """The next ``accumulation`` with which fewer images pass at once in each of ``size`` processes, or None."""
    now = needed_share(recipe, World(size=size)).part
    for parts in range(recipe.accumulation + 1, recipe.batch_size // 2 + 1):  # a part of one image has no statistics
        if recipe.batch_size % parts == 0 and (recipe.batch_size // parts) % (recipe.ghost_batch or 1) == 0:
            share = share_of(replace(recipe, accumulation=parts), World(size=size))
            if share is not None and share.part < now:
                return parts
    return None
