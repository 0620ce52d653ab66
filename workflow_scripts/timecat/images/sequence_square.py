"""What the config can know of sequences as images without NumPy, which would slow down every parse of the Snakefile."""

import math

SHORTEST = 50  # bases: the least length of made sequences, so that every motif fits


def side_of(length: int) -> int:
    """Side in pixels of the square that holds sequences of up to ``length`` bases, one pixel each."""
    return math.isqrt(length - 1) + 1
