"""Initialise networks with LeCun's truncated normal and zero residual branches, like AlgoPerf's ResNet-50."""

import math

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.randomness import key

CUT = 2.0  # the normal distribution is truncated at this many standard deviations
STD_OF_CUT = 0.87962566103423978  # standard deviation of a standard normal that is truncated at CUT
CLASSIFIER_STD = 0.01


def initial_classifier(
    backbone: BackboneSettings,
    classes: int,
    seed: int,
    image_size: int | None = None,
    initialisation: str = "library",
    zero_gamma: bool = False,
) -> Classifier:
    """Return the initial classifier of a seed's pretraining run (always drawn on the CPU).

    The weights of the backbone do not depend on the number of classes. backbone, image_size: arguments of
    build_backbone. initialisation, zero_gamma: arguments of ``initialise``.
    """
    torch.manual_seed(key("pretrain", "initialisation", seed) % 2**63)
    model = Classifier(build_backbone(backbone, image_size), classes)
    if initialisation != "library":  # seed again, because the count of numbers drawn so far depends on `classes`
        torch.manual_seed(key("pretrain", initialisation, seed) % 2**63)
    initialise(model, initialisation, zero_gamma)
    return model


def initialise(model: Classifier, initialisation: str, zero_gamma: bool) -> None:
    """Change the initial weights of a Classifier in place, with torch's global generator.

    initialisation: "library" keeps the library's initial weights. "lecun_normal" draws every convolution from a normal
    distribution truncated at two standard deviations, with variance 1 / fan-in after truncation, and the classifier
    from N(0, 0.01); biases start at 0. zero_gamma: whether the weight of the last batch norm of every residual branch
    starts at 0, so that each block starts as its shortcut.
    """
    if initialisation == "lecun_normal":
        for layer in model.modules():
            if isinstance(layer, _ConvNd):
                lecun_normal(layer)
        nn.init.normal_(model.fc.weight, std=CLASSIFIER_STD)
        nn.init.zeros_(model.fc.bias)
    if zero_gamma:
        norms = last_batch_norms(model)
        if not norms:
            raise UserError(
                "pretrain.zero_gamma: this backbone has no residual branch that ends in a batch norm; remove the key"
            )
        for norm in norms:
            nn.init.zeros_(norm.weight)


def lecun_normal(layer: _ConvNd) -> None:
    """Draw a convolution's weights from LeCun's truncated normal. Set its bias, if it has one, to 0."""
    fan_in = layer.weight[0].numel()
    std = math.sqrt(1 / fan_in) / STD_OF_CUT
    nn.init.trunc_normal_(layer.weight, std=std, a=-CUT * std, b=CUT * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def last_batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the last batch norm of each residual branch.

    In the ResNet blocks of torchvision, timm and this project, it is bn3, or bn2 if the block has two batch norms.
    """
    blocks = [module for module in model.modules() if hasattr(module, "bn2")]
    return [getattr(block, "bn3" if hasattr(block, "bn3") else "bn2") for block in blocks]
