"""Safetensors files whose bytes are a function of what they hold: named tensors, and a description of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow_scripts.timecat.artifacts.digests import array_digest, canonical_json, digest
from workflow_scripts.timecat.artifacts.files import PathLike, write_bytes

if TYPE_CHECKING:
    import torch


def write_tensors(path: PathLike, tensors: "Mapping[str, torch.Tensor]", description: Mapping[str, object]) -> str:
    """Write named tensors with a description as their metadata; return the digest of the tensors.

    One metadata key, since safetensors writes several in no fixed order and the bytes must be a function of content.
    """
    import safetensors.torch

    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, {"timecat": canonical_json(description)}))
    return weights_digest(tensors)


def weights_digest(tensors: "Mapping[str, torch.Tensor]") -> str:
    """Digest of named tensors."""
    return digest({name: array_digest(value.numpy()) for name, value in tensors.items()})
