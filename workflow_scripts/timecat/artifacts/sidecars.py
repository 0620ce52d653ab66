"""The sidecar beside each big artifact, ``<artifact>.json``.

It is small, so Snakemake compares it by content, while the artifact itself (often over the 1 MB that Snakemake is willing to
checksum) is taken as ``ancient``. It holds the digest of the decoded content, the config digest (params of the stage and
digests of its inputs) and what merely describes: versions and device. It holds no clock time, host name or duration,
because it is compared.
"""

import contextlib
import importlib.metadata
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import digest, plain
from workflow_scripts.timecat.artifacts.files import read_json, write_json

DESCRIBED_PACKAGES = ("torch", "torchvision", "timm", "numpy", "ffcv", "schedulefree")


def write_sidecar(artifact, content: str, params, inputs: dict, facts: dict | None = None, device: str = "cpu") -> None:
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
