"""Sizes of sequences stored as images, for the config.

This module does not import NumPy, because that would slow down every parse of the Snakefile.
"""

import math

SHORTEST = 50  # bases: minimum length of synthetic sequences, so that every motif fits


def side_of(length: int) -> int:
    """Return the side (pixels) of the smallest square that holds ``length`` bases, one pixel per base."""
    return math.isqrt(length - 1) + 1
