"""Files that are whole or absent: atomic writes, content digests and the sidecar beside each big artifact.

A sidecar, ``<artifact>.json``, is small, so Snakemake compares it by content, while the artifact itself (often over the
1 MB that Snakemake is willing to checksum) is taken as ``ancient``. It holds the digest of the decoded content, the
config digest (params of the stage and digests of its inputs) and what merely describes: versions and device. It holds
no clock time, host name or duration, because it is compared.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path

DESCRIBED_PACKAGES = ("torch", "torchvision", "timm", "numpy", "ffcv", "schedulefree")


class UserError(Exception):
    """A mistake that the user can mend: one sentence that names what is wrong, where, and the remedy."""


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


def canonical_json(value) -> str:
    """The one JSON text of a value: sorted keys, no spaces. What digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def write_json(path, value) -> None:
    """Write a value as readable, sorted JSON, atomically."""
    write_bytes(path, (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path):
    """Read a JSON file."""
    return json.loads(Path(path).read_text())


def digest(value) -> str:
    """SHA-256 (hex) of bytes, or of the canonical JSON of any other value."""
    data = value if isinstance(value, (bytes, bytearray, memoryview)) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()


def file_sha256(path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_digest(array) -> str:
    """SHA-256 (hex) of a NumPy array's dtype, shape and values."""
    sha = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    sha.update(memoryview(array if array.flags.c_contiguous else array.copy()).cast("B") if array.size else b"")
    return sha.hexdigest()


def write_sidecar(artifact, content: str, params, inputs: dict, facts: dict | None = None, device: str = "cpu") -> None:
    """Write ``<artifact>.json``.

    content: digest of the decoded content. params: what the stage was told (JSON-able). inputs: name -> digest of each
    input. facts: whatever dependents read from it (number of rows, classes, feature dimension). device: "cpu" or the
    GPU's name.
    """
    write_json(
        sidecar_path(artifact),
        {
            "content": content,
            "config": config_digest(params, inputs),
            "params": params,
            "inputs": inputs,
            **(facts or {}),
            "describes": {"device": device, "versions": versions()},
        },
    )


def config_digest(params, inputs: dict) -> str:
    """What an artifact depends on: the params of its stage and the digests of its inputs, never the whole config."""
    return digest({"params": params, "inputs": inputs})


def sidecar_path(artifact) -> Path:
    """Path of an artifact's sidecar."""
    return Path(f"{artifact}.json")


def read_sidecar(artifact) -> dict:
    """The sidecar of an artifact, as a dict with at least content, config, params, inputs."""
    return read_json(sidecar_path(artifact))


def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a number."""
    found = {}
    for package in DESCRIBED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
