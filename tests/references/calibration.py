"""The plain twin of `calibration` and of its segments: one segment, bin and row at a time, as the definitions say it.

Rows with equal p stand in the order that they are given in.
"""

import itertools
import math


def ece_reference(p, y, bins: int) -> float:
    """Expected calibration error of bins of equally many rows (the first ones have one more), as a fraction."""
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
    """The range of the cumulative differences of the rows of a segment."""
    pairs = sorted(zip(p, y), key=lambda pair: pair[0])
    C = [0.0]
    for one, correct in pairs:
        C.append(C[-1] + (correct - one) / len(pairs))
    return max(C) - min(C)


def sigma_reference(p) -> float:
    """What ECCE is measured in: its standard deviation under perfect calibration."""
    return math.sqrt(math.fsum(one * (1 - one) for one in p)) / len(p)


def p_of_range_reference(x: float) -> float:
    """The probability that a standard Brownian motion's range is at least x: one less its distribution (Feller 1951)."""
    below = 0.0
    for k in range(400):
        square = (k + 0.5) ** 2
        below += (8 / x**2 + 2 / (square * math.pi**2)) * math.exp(-2 * square * math.pi**2 / x**2)
    return 1 - below


def segments_reference(rows: int, columns: dict[str, list], minimum_rows: int, depth: int) -> dict[str, list[int]]:
    """Name -> positions of rows of every segment. columns: of each grouping, the group of every row."""
    segments = {"all rows": list(range(rows))}
    for number in range(1, depth + 1):
        for names in itertools.combinations(columns, number):
            for values in itertools.product(*(sorted(set(columns[name])) for name in names)):
                own = [row for row in range(rows) if all(columns[name][row] == v for name, v in zip(names, values))]
                if len(own) >= minimum_rows:
                    segments[" & ".join(f"{name}={value}" for name, value in zip(names, values))] = own
    return segments


def worst_segment_reference(p, y, segments: dict[str, list[int]]) -> tuple[float, str]:
    """MCE_σ and the segment that has it."""
    found = {}
    for name, own in segments.items():
        own_p, own_y = [p[row] for row in own], [y[row] for row in own]
        found[name] = ecce_reference(own_p, own_y) / sigma_reference(own_p)
    worst = max(found, key=found.get)
    return found[worst], worst


def worst_group_reference(y, segments: dict[str, list[int]]) -> float:
    """The least accuracy of a group (a segment of one grouping), as a fraction."""
    groups = [own for name, own in segments.items() if name != "all rows" and " & " not in name]
    return min(math.fsum(y[row] for row in own) / len(own) for own in groups)
