"""Form the replicates of an arm from seeds: disjoint groups, cyclic groups, or all groups (or a random choice of them).

This module must not import NumPy, because the Snakefile imports it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from math import comb

ATTEMPTS = 50  # attempts at a new group before the counts of seeds may differ by one more


def disjoint(seeds: Sequence[int], members: int) -> list[list[int]]:
    """Return disjoint groups of ``members`` consecutive seeds; seeds left over at the end are in no group."""
    return [list(seeds[first : first + members]) for first in range(0, len(seeds) - members + 1, members)]


def cyclic(seeds: Sequence[int], members: int) -> list[list[int]]:
    """Return one group of ``members`` consecutive seeds for each seed; the first seed follows the last.

    If ``members`` equals the number of seeds, return a single group.
    """
    if members >= len(seeds):
        return disjoint(seeds, members)
    twice = [*seeds, *seeds]
    return [twice[first : first + members] for first in range(len(seeds))]


def every(seeds: Sequence[int], members: int, most: int, draw: int) -> list[list[int]]:
    """Return all groups of ``members`` seeds, or a random choice if there are more than ``most``.

    Each group is in the seeds' order. A random choice is a pure function of the seeds and ``draw``; any two seeds are
    in equally many groups, up to a difference of one or two. If more than half of the groups are kept, the groups to
    leave out are drawn instead, so that few draws repeat a group.
    """
    number = comb(len(seeds), members)
    if number <= most:
        return [list(group) for group in combinations(seeds, members)]
    if 2 * most > number:
        left_out = set(islice(_drawn(seeds, members, draw), number - most))
        return [list(group) for group in combinations(seeds, members) if group not in left_out]
    return [list(group) for group in islice(_drawn(seeds, members, draw), most)]


def _drawn(seeds: Sequence[int], members: int, draw: int) -> Iterator[tuple[int, ...]]:
    """Yield different groups. Each consists of the seeds that are in the fewest groups so far; hashes break ties."""
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

    place: (draw, number of the group, number of the attempt). With the true counts, every possible group may already be
    taken; therefore later attempts add to the counts of half of the seeds.
    """
    more = place[2] // ATTEMPTS

    def order(seed: int) -> tuple[int, bytes]:
        hashed = hashlib.sha256(repr((*place, seed)).encode()).digest()
        return counts[seed] + more * (hashed[-1] % 2), hashed

    return order
