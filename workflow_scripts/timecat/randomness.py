"""Compute random numbers as a pure function of (key, index, draw), without a generator, state or order.

Every crop, flip, epoch order and held-out row of the workflow is drawn here. Each value therefore depends only on its
purpose (the key) and never on how many workers have drawn before. The generator is SplitMix64 (Steele, Lea, Flood 2014,
"Fast splittable pseudorandom number generators") used as a counter-based hash; keys are the first 64 bits of a SHA-256.
"""

import hashlib
import json
from typing import SupportsInt

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


def key(*parts: str | SupportsInt) -> int:
    """Return the 64-bit key for a purpose, which text and integers name, e.g. ``key("view", seed, data_set, view)``."""
    text = json.dumps([part if isinstance(part, str) else int(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def bits(key: int, index: npt.ArrayLike, draw: int = 0) -> npt.NDArray[np.uint64]:
    """Return the uint64 hash of each ``index`` (any shape) for draw number ``draw`` under ``key``."""
    index = np.asarray(index).astype(np.uint64)
    with np.errstate(over="ignore"):
        z = _mix(index * _GOLDEN + np.uint64(key))
        return _mix(z + np.uint64((draw + 1) * int(_GOLDEN) & _MASK))


def uniform(key: int, index: npt.ArrayLike, draw: int = 0) -> npt.NDArray[np.float64]:
    """Return a float64 in [0, 1) for each ``index`` (53 random bits)."""
    return (bits(key, index, draw) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(key: int, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the given row numbers (int64 [n]) in the random order of ``key``: sorted by hash, ties by row."""
    rows = np.asarray(rows, dtype=np.int64)
    return rows[np.lexsort((rows, bits(key, rows)))]
