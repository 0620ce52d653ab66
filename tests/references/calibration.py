"""Slow reference for `measures/calibration.py`: metrics and segments computed one segment, bin and row at a time.

Rows with equal confidence p keep the order in which they are given.
"""

import itertools
import math


def ece_reference(p, y, bins: int) -> float:
    """Return the expected calibration error, as a fraction, over bins of equal size.

    If the rows do not divide evenly, the first bins have one row more.
    """
    pairs = sorted(zip(p, y), key=lambda pair: pair[0])
    bins, total, start = min(bins, len(pairs)), 0.0, 0
    for number in range(bins):
        size = len(pairs) // bins + (number < len(pairs) % bins)
        own = pairs[start : start + size]
        mean_p, mean_y = (math.fsum(column) / size for column in zip(*own))
        total += size / len(pairs) * abs(mean_y - mean_p)
        start += size
    return total


def ecce_reference(p, y) -> float:
    """Return the ECCE of a segment: the range of the cumulated differences between correctness y and confidence p."""
    pairs = sorted(zip(p, y), key=lambda pair: pair[0])
    C = [0.0]
    for one, correct in pairs:
        C.append(C[-1] + (correct - one) / len(pairs))
    return max(C) - min(C)


def sigma_reference(p) -> float:
    """Return σ, the unit of ECCE: its standard deviation under perfect calibration."""
    return math.sqrt(math.fsum(one * (1 - one) for one in p)) / len(p)


def p_of_range_reference(x: float) -> float:
    """Return the probability that the range of a standard Brownian motion is at least x (Feller 1951)."""
    below = 0.0
    for k in range(400):
        square = (k + 0.5) ** 2
        below += (8 / x**2 + 2 / (square * math.pi**2)) * math.exp(-2 * square * math.pi**2 / x**2)
    return 1 - below


def segments_reference(rows: int, columns: dict[str, list], minimum_rows: int, depth: int) -> dict[str, list[int]]:
    """Return the positions of the rows of every segment, by the segment's name.

    columns: name of a grouping -> group of every row.
    """
    segments = {"all rows": list(range(rows))}
    for number in range(1, depth + 1):
        for names in itertools.combinations(columns, number):
            for values in itertools.product(*(sorted(set(columns[name])) for name in names)):
                own = [row for row in range(rows) if all(columns[name][row] == v for name, v in zip(names, values))]
                if len(own) >= minimum_rows:
                    segments[" & ".join(f"{name}={value}" for name, value in zip(names, values))] = own
    return segments


def worst_segment_reference(p, y, segments: dict[str, list[int]]) -> tuple[float, str]:
    """Return MCE_σ (the largest ECCE of a segment, in units of σ) and the name of that segment."""
    found = {}
    for name, own in segments.items():
        own_p, own_y = [p[row] for row in own], [y[row] for row in own]
        found[name] = ecce_reference(own_p, own_y) / sigma_reference(own_p)
    worst = max(found, key=found.get)
    return found[worst], worst


def worst_group_reference(y, segments: dict[str, list[int]]) -> float:
    """Return the lowest accuracy of any group (a segment of one grouping), as a fraction."""
    groups = [own for name, own in segments.items() if name != "all rows" and " & " not in name]
    return min(math.fsum(y[row] for row in own) / len(own) for own in groups)
