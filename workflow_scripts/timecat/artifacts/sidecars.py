"""Write and read sidecars, the small files ``<artifact>.json`` beside big artifacts.

Snakemake compares the sidecar by content. Rules mark the artifact itself as ``ancient`` (its modification time is
ignored), because it is often larger than 1 MB, the limit up to which Snakemake computes checksums. A sidecar holds the
digest of the decoded content, the config digest (params of the stage and digests of its inputs) and a description
(package versions and device). It holds no clock time, host name or duration, because it is compared.
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
    """Write the sidecar of an artifact, ``<artifact>.json``.

    content: digest of the decoded content. params: parameters of the stage (JSON values and settings). inputs: name ->
    digest of each input. facts: values that dependents read from the sidecar (number of rows, classes, feature
    dimension). device: "cpu" or the GPU's name.
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
    """Return the config digest: the digest of a stage's params and of its inputs' digests.

    Changing another part of the config does not change this digest.
    """
    return digest({"params": params, "inputs": inputs})


def sidecar_path(artifact: PathLike) -> Path:
    """Return the path of an artifact's sidecar."""
    return Path(f"{artifact}.json")


def read_sidecar(artifact: PathLike) -> dict[str, Any]:
    """Return the sidecar of an artifact, a dict with at least content, config, params and inputs."""
    found: dict[str, Any] = read_json(sidecar_path(artifact))
    return found


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that can change a result, as package -> version."""
    found = {}
    for package in DESCRIBED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
