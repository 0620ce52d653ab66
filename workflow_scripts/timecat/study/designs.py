"""Which seeds make the replicates of an arm: disjoint groups, cyclic ones, or all, of which some may be drawn.

Nothing here imports NumPy: the Snakefile reads this module.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from math import comb

ATTEMPTS = 50  # at a group that is not taken, until counts may differ by one more


def disjoint(seeds: Sequence[int], members: int) -> list[list[int]]:
    """Return groups of seeds in their order; seeds that are left over have none."""
    return [list(seeds[first : first + members]) for first in range(0, len(seeds) - members + 1, members)]


def cyclic(seeds: Sequence[int], members: int) -> list[list[int]]:
    """Return for each seed the group that begins with it, the first seeds following the last; one group of all seeds."""
    if members >= len(seeds):
        return disjoint(seeds, members)
    twice = [*seeds, *seeds]
    return [twice[first : first + members] for first in range(len(seeds))]


def every(seeds: Sequence[int], members: int, most: int, draw: int) -> list[list[int]]:
    """Return all groups of seeds, each in the seeds' order; of more than ``most``, some that are drawn.

    Drawn groups have all seeds equally often, but for one or two. They are a pure function of the seeds and ``draw``. Where
    most groups are kept, those to leave out are drawn, so that few draws meet a group that is taken.
    """
    number = comb(len(seeds), members)
    if number <= most:
        return [list(group) for group in combinations(seeds, members)]
    if 2 * most > number:
        left_out = set(islice(_drawn(seeds, members, draw), number - most))
        return [list(group) for group in combinations(seeds, members) if group not in left_out]
    return [list(group) for group in islice(_drawn(seeds, members, draw), most)]


def _drawn(seeds: Sequence[int], members: int, draw: int) -> Iterator[tuple[int, ...]]:
    """Yield different groups: of the seeds that are in the fewest groups so far, those whose hash is least."""
    counts, taken = dict.fromkeys(seeds, 0), set[tuple[int, ...]]()
    for number in range(comb(len(seeds), members)):
        attempt = 0
        while (group := _group(seeds, members, _order(counts, (draw, number, attempt)))) in taken:
            attempt += 1
        taken.add(group)
        for seed in group:
            counts[seed] += 1
        yield group


def _group(seeds: Sequence[int], members: int, order: Callable[[int], tuple[int, bytes]]) -> tuple[int, ...]:
    chosen = set(sorted(seeds, key=order)[:members])
    return tuple(seed for seed in seeds if seed in chosen)


def _order(counts: dict[int, int], place: tuple[int, int, int]) -> Callable[[int], tuple[int, bytes]]:
    """Return what sorts seeds: by how many groups they are in, then by hash.

    place: the draw, the group's number and the attempt. Where the counts may allow no group but one that is taken, later
    attempts count half of the seeds as in more groups than they are.
    """
    more = place[2] // ATTEMPTS

    def order(seed: int) -> tuple[int, bytes]:
        hashed = hashlib.sha256(repr((*place, seed)).encode()).digest()
        return counts[seed] + more * (hashed[-1] % 2), hashed

    return order
