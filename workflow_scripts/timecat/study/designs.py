"""Form the replicates of an arm from seeds: disjoint groups, cyclic groups, or all groups, of which some may be drawn.

This module must not import NumPy, because the Snakefile imports it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from math import comb

ATTEMPTS = 50  # attempts at a new group before the counts of seeds may differ by one more


def disjoint(seeds: Sequence[int], members: int) -> list[list[int]]:
    """Return consecutive groups of ``members`` seeds that share no seed; left-over seeds are in no group."""
    return [list(seeds[first : first + members]) for first in range(0, len(seeds) - members + 1, members)]


def cyclic(seeds: Sequence[int], members: int) -> list[list[int]]:
    """Return for each seed the group that begins with it, where the first seed follows the last.

    If a group takes all seeds, there is only one.
    """
    if members >= len(seeds):
        return disjoint(seeds, members)
    twice = [*seeds, *seeds]
    return [twice[first : first + members] for first in range(len(seeds))]


def every(seeds: Sequence[int], members: int, most: int, draw: int) -> list[list[int]]:
    """Return all groups of ``members`` seeds, or a random choice if there are more than ``most``.

    Each group is in the seeds' order. In drawn groups all seeds are equally frequent, up to one or two. They are a pure
    function of the seeds and ``draw``. If most groups are kept, the groups to leave out are drawn, so that draws rarely
    repeat a group.
    """
    number = comb(len(seeds), members)
    if number <= most:
        return [list(group) for group in combinations(seeds, members)]
    if 2 * most > number:
        left_out = set(islice(_drawn(seeds, members, draw), number - most))
        return [list(group) for group in combinations(seeds, members) if group not in left_out]
    return [list(group) for group in islice(_drawn(seeds, members, draw), most)]


def _drawn(seeds: Sequence[int], members: int, draw: int) -> Iterator[tuple[int, ...]]:
    """Yield different groups, each of the seeds that are in the fewest groups so far and have the smallest hashes."""
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
    """Return a sort key of seeds: the number of groups that a seed is in, then its hash.

    place: the draw, the group's number and the attempt. The counts may allow only groups that are taken already;
    therefore later attempts count half of the seeds as being in more groups than they are.
    """
    more = place[2] // ATTEMPTS

    def order(seed: int) -> tuple[int, bytes]:
        hashed = hashlib.sha256(repr((*place, seed)).encode()).digest()
        return counts[seed] + more * (hashed[-1] % 2), hashed

    return order
