"""Small vision transformers and RegNets for images of about 32 px: torchvision's own classes at other sizes.

Imported only when a study asks for one, for torchvision costs seconds. Names of weights are those of torchvision's large
models, and in the place of the classifier stands an identity.
"""

from typing import Any

from torch import nn

from workflow_scripts.timecat.backbones.backbone import Backbone, as_backbone
from workflow_scripts.timecat.backbones.catalogue import SMALL_VIT
from workflow_scripts.timecat.backbones.library import DEFAULT_SIZE, refuse_other_sizes
from workflow_scripts.timecat.errors import UserError

MLP_RATIO = 4  # of a transformer block's hidden features to its width, as in all of ViT's sizes
SQUEEZE = 0.25  # of a block's input channels, as in all RegNetY


def build_small_backbone(architecture: str, image_size: int | None = None, **settings: Any) -> Backbone:
    """A freshly initialised network: images float32 [b, 3, s, s] to features [b, dimension], which it has as ``dimension``.

    settings: the other keys of its block of the config. image_size: side s in pixels; a ViT takes no other. UserError if
    its patches do not divide that.
    """
    if architecture == SMALL_VIT:
        return _vision_transformer(image_size or DEFAULT_SIZE, **settings)
    return _regnet(**settings)


def _vision_transformer(size: int, patch: int, width: int, depth: int, heads: int) -> Backbone:
    """Features are the class token after the last layer norm (Dosovitskiy et al. 2021)."""
    from torchvision.models.vision_transformer import VisionTransformer

    if size % patch:
        raise UserError(
            f"backbone {SMALL_VIT}: patch {patch} does not divide images of {size} px; set `patch` to a divisor, or "
            "transform.size of the source and all targets"
        )
    model = VisionTransformer(size, patch, depth, heads, width, MLP_RATIO * width)
    model.heads.head = nn.Identity()
    refuse_other_sizes(model, SMALL_VIT, size)
    return as_backbone(model, width)


def _regnet(stem: int, widths: list[int], depths: list[int], group_width: int, squeeze_excite: bool) -> Backbone:
    """Features are the means of the last stage's maps (Radosavovic et al. 2020)."""
    from torchvision.models.regnet import BlockParams, RegNet

    stages = len(widths)
    ratio = SQUEEZE if squeeze_excite else None
    model = RegNet(
        BlockParams(depths, widths, [group_width] * stages, [1.0] * stages, [2] * stages, ratio), stem_width=stem
    )
    model.fc = nn.Identity()
    return as_backbone(model, widths[-1])
