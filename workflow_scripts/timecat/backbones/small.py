"""Small vision transformers and RegNets for images of about 32 px: torchvision's own classes at other sizes.

Imported only when a study asks for one, for torchvision costs seconds. Names of weights are those of torchvision's large
models, and in the place of the classifier stands an identity.
"""

from torch import nn

from workflow_scripts.timecat.backbones.backbone import Backbone, as_backbone
from workflow_scripts.timecat.backbones.catalogue import SMALL_VIT
from workflow_scripts.timecat.backbones.library import DEFAULT_SIZE, refuse_other_sizes
from workflow_scripts.timecat.backbones.settings import SmallRegnetSettings, SmallVitSettings
from workflow_scripts.timecat.errors import UserError

MLP_RATIO = 4  # of a transformer block's hidden features to its width, as in all of ViT's sizes
SQUEEZE = 0.25  # of a block's input channels, as in all RegNetY


def build_small_backbone(settings: SmallVitSettings | SmallRegnetSettings, image_size: int | None) -> Backbone:
    """A freshly initialised network: images float32 [b, 3, s, s] to features [b, dimension], which it has as ``dimension``.

    image_size: side s in pixels; a ViT takes no other. UserError if its patches do not divide that.
    """
    if isinstance(settings, SmallVitSettings):
        return _vision_transformer(settings, image_size or DEFAULT_SIZE)
    return _regnet(settings)


def _vision_transformer(settings: SmallVitSettings, size: int) -> Backbone:
    """Features are the class token after the last layer norm (Dosovitskiy et al. 2021)."""
    from torchvision.models.vision_transformer import VisionTransformer

    patch, width = settings.patch, settings.width
    if size % patch:
        raise UserError(
            f"backbone {SMALL_VIT}: patch {patch} does not divide images of {size} px; set `patch` to a divisor, or "
            "transform.size of the source and all targets"
        )
    model = VisionTransformer(size, patch, settings.depth, settings.heads, width, MLP_RATIO * width)
    model.heads.head = nn.Identity()
    refuse_other_sizes(model, SMALL_VIT, size)
    return as_backbone(model, width)


def _regnet(settings: SmallRegnetSettings) -> Backbone:
    """Features are the means of the last stage's maps (Radosavovic et al. 2020)."""
    from torchvision.models.regnet import BlockParams, RegNet

    depths, widths = list(settings.depths), list(settings.widths)
    stages = len(widths)
    ratio = SQUEEZE if settings.squeeze_excite else None
    parameters = BlockParams(depths, widths, [settings.group_width] * stages, [1.0] * stages, [2] * stages, ratio)
    model = RegNet(parameters, stem_width=settings.stem)
    model.fc = nn.Identity()
    return as_backbone(model, widths[-1])
