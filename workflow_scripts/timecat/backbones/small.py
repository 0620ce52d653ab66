"""Build small vision transformers and RegNets for images of about 32 px from torchvision's classes.

Import this module only for a study that uses one of these networks, because torchvision takes seconds to import.
Weights have the same names as in torchvision's large models, and an identity replaces the classifier.
"""

from torch import nn

from workflow_scripts.timecat.backbones.backbone import Backbone, as_backbone
from workflow_scripts.timecat.backbones.catalogue import SMALL_VIT
from workflow_scripts.timecat.backbones.library import DEFAULT_SIZE, refuse_other_sizes
from workflow_scripts.timecat.backbones.settings import SmallRegnetSettings, SmallVitSettings
from workflow_scripts.timecat.errors import UserError

MLP_RATIO = 4  # hidden features of a transformer block's MLP / width, as in ViTs of all sizes
SQUEEZE = 0.25  # channels of squeeze-and-excitation / input channels of a block, as in all RegNetY


def build_small_backbone(settings: SmallVitSettings | SmallRegnetSettings, image_size: int | None) -> Backbone:
    """Return a newly initialised small ViT or RegNet: images float32 [b, 3, s, s] to features [b, dimension].

    image_size: side s in pixels (None: 224); a ViT accepts only images of this size. Raise UserError if a ViT's
    ``patch`` does not divide image_size.
    """
    if isinstance(settings, SmallVitSettings):
        return _vision_transformer(settings, image_size or DEFAULT_SIZE)
    return _regnet(settings)


def _vision_transformer(settings: SmallVitSettings, size: int) -> Backbone:
    """Return a ViT whose features are the class token after the last layer norm (Dosovitskiy et al. 2021)."""
    from torchvision.models.vision_transformer import VisionTransformer

    patch, width = settings.patch, settings.width
    if size % patch:
        raise UserError(
            f"backbone {SMALL_VIT}: patch {patch} does not divide images of {size} px; set `patch` to a divisor, or "
            "change transform.size of the source and all targets"
        )
    model = VisionTransformer(size, patch, settings.depth, settings.heads, width, MLP_RATIO * width)
    model.heads.head = nn.Identity()
    refuse_other_sizes(model, SMALL_VIT, size)
    return as_backbone(model, width)


def _regnet(settings: SmallRegnetSettings) -> Backbone:
    """Return a RegNet whose features are the spatial means of the last stage (Radosavovic et al. 2020)."""
    from torchvision.models.regnet import BlockParams, RegNet

    depths, widths = list(settings.depths), list(settings.widths)
    stages = len(widths)
    ratio = SQUEEZE if settings.squeeze_excite else None
    parameters = BlockParams(depths, widths, [settings.group_width] * stages, [1.0] * stages, [2] * stages, ratio)
    model = RegNet(parameters, stem_width=settings.stem)
    model.fc = nn.Identity()
    return as_backbone(model, widths[-1])
