"""How a network begins: LeCun's truncated normal and residual branches that start at zero, as AlgoPerf's ResNet-50 has it."""

import math

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.randomness import key

CUT = 2.0  # standard deviations at which the normal is cut ...
STD_OF_CUT = 0.87962566103423978  # ... and the standard deviation that a standard normal has left then
CLASSIFIER_STD = 0.01


def initial_classifier(
    backbone: BackboneSettings,
    classes: int,
    seed: int,
    image_size: int | None = None,
    initialisation: str = "library",
    zero_gamma: bool = False,
) -> Classifier:
    """The classifier that the pretraining run of a seed begins with (drawn on the CPU, whatever the device).

    backbone, image_size: as in build_backbone. The backbone does not depend on the number of classes.
    """
    torch.manual_seed(key("pretrain", "initialisation", seed) % 2**63)
    model = Classifier(build_backbone(backbone, image_size), classes)
    if initialisation != "library":  # the classifier has drawn as many numbers as it has classes
        torch.manual_seed(key("pretrain", initialisation, seed) % 2**63)
    initialise(model, initialisation, zero_gamma)
    return model


def initialise(model: Classifier, initialisation: str, zero_gamma: bool) -> None:
    """Initialise a Classifier anew, in place, from torch's global generator.

    initialisation: "library" leaves what its makers do; "lecun_normal" draws every convolution from a normal cut at two
    standard deviations, of variance 1 / fan-in after the cut, and the classifier from N(0, 0.01); biases begin at 0.
    zero_gamma: the last batch norm of every residual branch begins at 0, and so each block as its shortcut.
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
                "pretrain.zero_gamma: this backbone has no residual branch that ends in a batch norm; remove it"
            )
        for norm in norms:
            nn.init.zeros_(norm.weight)


def lecun_normal(layer: _ConvNd) -> None:
    """Draw a convolution's weights; its bias, if it has one, begins at 0."""
    fan_in = layer.weight[0].numel()
    std = math.sqrt(1 / fan_in) / STD_OF_CUT
    nn.init.trunc_normal_(layer.weight, std=std, a=-CUT * std, b=CUT * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def last_batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The last batch norm of each residual branch: bn3, or bn2 where a block has two (the names of He et al.'s blocks,
    in torchvision, in timm and here)."""
    blocks = [module for module in model.modules() if hasattr(module, "bn2")]
    return [getattr(block, "bn3" if hasattr(block, "bn3") else "bn2") for block in blocks]
