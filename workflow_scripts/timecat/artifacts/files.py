"""Files that are whole or absent: atomic writes, and JSON."""

import contextlib
import json
import os
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import as_plain


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path``; on success fsync it and move it to ``path``, on error remove it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path, value) -> None:
    """Write a value as readable, sorted JSON, atomically."""
    write_bytes(
        path, (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, default=as_plain) + "\n").encode()
    )


def read_json(path):
    """Read a JSON file."""
    return json.loads(Path(path).read_text())
