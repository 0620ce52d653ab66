"""Sizes of sequences stored as images, for the config.

This module does without NumPy, which would slow down every parse of the Snakefile.
"""

import math

SHORTEST = 50  # bases: minimum length of synthetic sequences, so that every motif fits


def side_of(length: int) -> int:
    """Return the side in pixels of the square that holds sequences of up to ``length`` bases, one pixel each."""
    return math.isqrt(length - 1) + 1
