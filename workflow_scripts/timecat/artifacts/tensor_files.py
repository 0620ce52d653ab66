"""Write named tensors and a description as safetensors files: equal content gives equal bytes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow_scripts.timecat.artifacts.digests import array_digest, canonical_json, digest
from workflow_scripts.timecat.artifacts.files import PathLike, write_bytes

if TYPE_CHECKING:
    import torch


def write_tensors(path: PathLike, tensors: "Mapping[str, torch.Tensor]", description: Mapping[str, object]) -> str:
    """Write named tensors, with a description as metadata, and return the digest of the tensors.

    The description is one metadata key, because safetensors writes several keys in no fixed order.
    """
    import safetensors.torch

    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, {"timecat": canonical_json(description)}))
    return weights_digest(tensors)


def weights_digest(tensors: "Mapping[str, torch.Tensor]") -> str:
    """Return the digest of named tensors."""
    return digest({name: array_digest(value.numpy()) for name, value in tensors.items()})
