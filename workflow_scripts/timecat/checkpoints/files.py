"""Read and write weights for inference: safetensors files that describe their backbone.

A reader therefore does not need the config.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.artifacts.tensor_files import write_tensors
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.json_arguments import read_typed

if TYPE_CHECKING:
    from torch import nn

    from workflow_scripts.timecat.backbones.backbone import Backbone


def write_weights(path: PathLike, model: "nn.Module", description: Mapping[str, Any]) -> str:
    """Write a Classifier's weights with ``description`` as metadata, and return the digest of the weights.

    description: dict of the backbone's settings, recipe, image_size (side of the images, pixels), source, seed, step,
    classes, config digest, final train loss and source accuracy.
    """
    return write_tensors(path, model.state_dict(), description)


def read_description(path: PathLike) -> dict[str, Any]:
    """Return the description (metadata) of a weights file. Raise UserError if the file has none."""
    import safetensors

    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if "timecat" not in metadata:
        raise UserError(f"{path} was not written by this workflow: it has no description; pretrain or import it again")
    description: dict[str, Any] = json.loads(metadata["timecat"])
    return description


def read_backbone(path: PathLike) -> "tuple[Backbone, dict[str, Any]]":
    """Read (backbone, description) from a weights file. The backbone is frozen, in evaluation mode and on the CPU."""
    import safetensors.torch

    from workflow_scripts.timecat.backbones.build import build_backbone
    from workflow_scripts.timecat.backbones.settings import BackboneSettings

    description = read_description(path)
    try:
        settings = read_typed(BackboneSettings, canonical_json(description.get("backbone")))
    except ValueError as error:
        raise UserError(
            f"{path}: its description of the backbone is invalid ({error}); pretrain or import it again"
        ) from None
    backbone = build_backbone(settings, description.get("image_size"))
    prefix = "backbone."
    tensors = safetensors.torch.load_file(path)
    backbone.load_state_dict({name[len(prefix) :]: v for name, v in tensors.items() if name.startswith(prefix)})
    return backbone.eval().requires_grad_(False), description
