"""Weights for inference: safetensors files that say what they are, so that whoever reads one needs no config."""

import json

from workflow_scripts.timecat.artifacts import UserError, array_digest, canonical_json, digest, write_bytes


def write_weights(path, model, description: dict) -> str:
    """Write a Classifier's weights with ``description`` as their metadata; return the digest of the content.

    description: backbone (its settings), recipe, image_size (side of the images, pixels), source, seed, step, classes,
    config digest, final train loss, source accuracy.
    """
    return write_tensors(path, model.state_dict(), description)


def write_tensors(path, tensors: dict, description: dict) -> str:
    """Write named tensors with a description as their metadata; return the digest of the tensors.

    One metadata key, since safetensors writes several in no fixed order and the bytes must be a function of content.
    """
    import safetensors.torch

    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, {"timecat": canonical_json(description)}))
    return weights_digest(tensors)


def weights_digest(tensors: dict) -> str:
    """Digest of named tensors."""
    return digest({name: array_digest(value.numpy()) for name, value in tensors.items()})


def read_description(path) -> dict:
    """The metadata of a weights file."""
    import safetensors

    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if "timecat" not in metadata:
        raise UserError(f"{path} was not written by this workflow: it has no description; pretrain or import it again")
    return json.loads(metadata["timecat"])


def read_backbone(path):
    """(backbone in evaluation mode on the CPU, its description) of a weights file."""
    import safetensors.torch

    from workflow_scripts.timecat.backbones import build_backbone

    description = read_description(path)
    backbone = build_backbone(description["backbone"], description.get("image_size"))
    prefix = "backbone."
    tensors = safetensors.torch.load_file(path)
    backbone.load_state_dict({name[len(prefix) :]: v for name, v in tensors.items() if name.startswith(prefix)})
    return backbone.eval().requires_grad_(False), description
