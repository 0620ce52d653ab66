"""The sidecar beside each big artifact, ``<artifact>.json``.

It is small, so Snakemake compares it by content, while the artifact itself (often over the 1 MB that Snakemake is willing to
checksum) is taken as ``ancient``. It holds the digest of the decoded content, the config digest (params of the stage and
digests of its inputs) and what merely describes: versions and device. It holds no clock time, host name or duration,
because it is compared.
"""

import contextlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.digests import digest, plain
from workflow_scripts.timecat.artifacts.files import PathLike, read_json, write_json

DESCRIBED_PACKAGES = ("torch", "torchvision", "timm", "numpy", "ffcv", "schedulefree")


def write_sidecar(
    artifact: PathLike,
    content: str,
    params: object,
    inputs: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> None:
    """Write ``<artifact>.json``.

    content: digest of the decoded content. params: what the stage was told (JSON, and settings). inputs: name -> digest of each
    input. facts: whatever dependents read from it (number of rows, classes, feature dimension). device: "cpu" or the
    GPU's name.
    """
    write_json(
        sidecar_path(artifact),
        {
            "content": content,
            "config": config_digest(params, inputs),
            "params": plain(params),
            "inputs": inputs,
            **(facts or {}),
            "describes": {"device": device, "versions": versions()},
        },
    )


def config_digest(params: object, inputs: Mapping[str, Any]) -> str:
    """What an artifact depends on: the params of its stage and the digests of its inputs, never the whole config."""
    return digest({"params": params, "inputs": inputs})


def sidecar_path(artifact: PathLike) -> Path:
    """Path of an artifact's sidecar."""
    return Path(f"{artifact}.json")


def read_sidecar(artifact: PathLike) -> dict[str, Any]:
    """The sidecar of an artifact, as a dict with at least content, config, params, inputs."""
    found: dict[str, Any] = read_json(sidecar_path(artifact))
    return found


def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a number."""
    found = {}
    for package in DESCRIBED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
