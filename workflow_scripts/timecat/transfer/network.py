"""Define the network of a transfer that trains its backbones: concatenated backbones and the probe's layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.backbones.backbone import Backbone
from workflow_scripts.timecat.probing.heads import BN_EPS, BN_MOMENTUM, initial_weight
from workflow_scripts.timecat.transfer.settings import Settings


class Network(nn.Module):
    """Network that concatenates the features of backbones, normalises them and maps them to logits [batch, C].

    weight: initial weight [C, D] of the linear layer.
    """

    def __init__(self, backbones: Sequence[Backbone], weight: torch.Tensor) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        C, D = weight.shape
        self.norm = nn.BatchNorm1d(D, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.fc = nn.Linear(D, C)
        with torch.no_grad():
            self.fc.weight.copy_(weight)
            self.fc.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(torch.cat([backbone(x) for backbone in self.backbones], 1)))


def start_network(backbones: Sequence[Backbone], classes: int, replicate: int, settings: Settings) -> Network:
    """Return the network at step 0: the backbones and the same initial linear layer as in the replicate's probe."""
    dimension = sum(backbone.dimension for backbone in backbones)
    key = randomness.key("head", settings.seed, replicate)
    return Network(backbones, initial_weight(key, classes, dimension, settings.init_std))


def parameter_groups(network: Network, settings: Settings, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups, which contain every parameter exactly once.

    Backbones train with ``backbone_lr``, and the layers after them with ``lr``. Batch norms have no weight decay.
    """
    spared = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    groups = []
    for modules, lr in (([network.backbones], settings.backbone_lr), ([network.norm, network.fc], settings.lr)):
        parameters = [parameter for module in modules for parameter in module.parameters()]
        for decay, chosen in (
            (weight_decay, [parameter for parameter in parameters if id(parameter) not in spared]),
            (0.0, [parameter for parameter in parameters if id(parameter) in spared]),
        ):
            groups.append({"params": chosen, "lr": lr, "first_lr": lr, "weight_decay": decay})
    return [group for group in groups if group["params"]]
