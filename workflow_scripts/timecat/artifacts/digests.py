"""Digests of values, files and arrays."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.settings import told

if TYPE_CHECKING:
    import numpy as np


def _as_plain(value: object) -> dict[str, Any]:
    """A dataclass as a dict, for json.dumps; settings without the keys that were left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return told(value)
    raise TypeError(f"{type(value).__name__} is neither JSON nor a dataclass")


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces. What digests are taken of. A dataclass is an object of its fields."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_plain
    )


def plain(value: object) -> Any:
    """A value as it comes back from JSON: settings as dicts, tuples as lists."""
    return json.loads(canonical_json(value))


def digest(value: object) -> str:
    """SHA-256 (hex) of bytes, or of the canonical JSON of any other value."""
    data = value if isinstance(value, (bytes, bytearray, memoryview)) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: PathLike) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_digest(array: "np.ndarray") -> str:
    """SHA-256 (hex) of a NumPy array's dtype, shape and values."""
    sha = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    sha.update((array if array.flags.c_contiguous else array.copy()).data.cast("B") if array.size else b"")
    return sha.hexdigest()
