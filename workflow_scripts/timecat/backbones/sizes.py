"""Compute the size of a backbone and its cost per image for `make plan`, without torch where possible."""

from dataclasses import dataclass
from functools import cache

from workflow_scripts.timecat.backbones.settings import (
    BackboneSettings,
    LibrarySettings,
    RandomProjectionSettings,
    SequenceResidualSettings,
    SmallRegnetSettings,
    SmallResidualSettings,
    SmallVitSettings,
)

TABLE_SIDE = 224  # pixels


@dataclass(frozen=True)
class BackboneSize:
    """Size of a backbone without a classifier: its parameters, features and cost per image.

    parameters: number of parameters. tensors: number of parameter tensors. statistics: number of values in batch norm's
    running means and variances. norms: number of batch-norm layers. dimension: number of features. macs: multiply-adds
    of the forward pass of one image.
    """

    parameters: int
    tensors: int
    statistics: int
    norms: int
    dimension: int
    macs: float


# torchvision's ResNets at 224 px by (architecture, width). A test checks them against `counted`.
KNOWN: dict[tuple[str, int], BackboneSize] = {
    ("resnet18", 1): BackboneSize(11_176_512, 60, 9_600, 20, 512, 1_813_561_344),
    ("resnet34", 1): BackboneSize(21_284_672, 108, 17_024, 36, 512, 3_663_249_408),
    ("resnet50", 1): BackboneSize(23_508_032, 159, 53_120, 53, 2048, 4_087_136_256),
    ("resnet101", 1): BackboneSize(42_500_160, 312, 105_344, 104, 2048, 7_799_357_440),
    ("resnet152", 1): BackboneSize(58_143_808, 465, 151_424, 155, 2048, 11_511_578_624),
    ("resnet50", 2): BackboneSize(93_907_072, 159, 106_240, 53, 4096, 16_112_517_120),
}


def backbone_size(settings: BackboneSettings, image_size: int) -> BackboneSize:
    """Return the size of a backbone for images of ``image_size`` pixels. Raise UserError if it cannot be built."""
    if isinstance(settings, SmallResidualSettings):
        return small_residual_size(settings.width, settings.blocks, image_size, settings.last_width)
    if isinstance(settings, RandomProjectionSettings):
        weights = 3 * min(settings.side, image_size) ** 2 * settings.dimension
        return BackboneSize(weights, 1, 0, 0, settings.dimension, weights)
    known = KNOWN.get((settings.architecture, settings.width)) if isinstance(settings, LibrarySettings) else None
    if known is None:
        return counted(settings, image_size)
    return BackboneSize(**vars(known) | {"macs": known.macs * (image_size / TABLE_SIDE) ** 2})


def known_dimension(settings: BackboneSettings) -> int | None:
    """Return the number of features of a backbone, or None if it is not known without building the network."""
    match settings:
        case SmallResidualSettings() | RandomProjectionSettings():
            return backbone_size(settings, TABLE_SIDE).dimension
        case SequenceResidualSettings():
            return settings.width * 2**settings.blocks
        case SmallVitSettings():
            return settings.width
        case SmallRegnetSettings():
            return settings.widths[-1]
    known = KNOWN.get((settings.architecture, settings.width))
    return None if known is None else known.dimension


def small_residual_size(width: int, blocks: int, image_size: int, last_width: int | None = None) -> BackboneSize:
    """Return the size of a small residual network (build.SmallResidual), computed from its layers without torch."""
    side, channels = image_size, width
    parameters, macs, normalised, norms = 27 * width, 27 * width * side**2, width, 1
    for block in range(blocks):
        side, before, between = -(-side // 2), channels, width * 2**block
        channels = last_width if last_width and block == blocks - 1 else between
        # Two convolutions and the shortcut's convolution.
        weights = 9 * before * between + 9 * between * channels + before * channels
        parameters, macs = parameters + weights, macs + weights * side**2
        normalised, norms = normalised + between + 2 * channels, norms + 3
    # A batch norm of c channels has 2 c parameters and 2 c statistics; one convolution precedes each batch norm.
    return BackboneSize(parameters + 2 * normalised, 3 * norms, 2 * normalised, norms, channels, macs)


@cache
def counted(settings: BackboneSettings, image_size: int) -> BackboneSize:
    """Return the size of any backbone, found by a forward pass of one image on torch's meta device.

    This imports torch, which takes seconds. RegNets of torchvision are built in memory first, because the widths of
    their stages are computed with tensors.
    """
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from workflow_scripts.timecat.backbones.build import build_backbone

    with torch.device("cpu" if settings.architecture.startswith("regnet_") else "meta"):
        model = build_backbone(settings, image_size).eval()
    with torch.device("meta"):
        model.to("meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, image_size, image_size))
    parameters = list(model.parameters())
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return BackboneSize(
        parameters=sum(parameter.numel() for parameter in parameters),
        tensors=len(parameters),
        statistics=sum(2 * module.num_features for module in norms),
        norms=len(norms),
        dimension=model.dimension,
        macs=counter.get_total_flops() / 2,
    )
