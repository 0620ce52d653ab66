"""Compute digests of values, files and arrays."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.settings import told

if TYPE_CHECKING:
    import numpy as np


def _as_plain(value: object) -> dict[str, Any]:
    """Return a dataclass of settings as a dict for json.dumps, without the keys that the config left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return told(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON and is not a dataclass")


def canonical_json(value: object) -> str:
    """Return the canonical JSON that digests are computed from: sorted keys, no spaces, dataclasses as objects."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_plain
    )


def plain(value: object) -> Any:
    """Convert a value to plain JSON types: settings become dicts, and tuples become lists."""
    return json.loads(canonical_json(value))


def digest(value: object) -> str:
    """Return the SHA-256 (hex) of bytes, or of the canonical JSON of any other value."""
    data = value if isinstance(value, (bytes, bytearray, memoryview)) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: PathLike) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_digest(array: "np.ndarray") -> str:
    """Return the SHA-256 (hex) of a NumPy array's dtype, shape and values."""
    sha = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    sha.update((array if array.flags.c_contiguous else array.copy()).data.cast("B") if array.size else b"")
    return sha.hexdigest()
