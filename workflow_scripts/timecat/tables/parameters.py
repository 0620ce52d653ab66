"""Add the size of an arm's networks, for tables that report it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.tables.model import Arm


@dataclass(frozen=True, kw_only=True)
class ArmOfNetworks(Arm):
    """An arm with its members' network.

    settings: settings of the network.
    """

    settings: BackboneSettings


def with_parameters(arms: Iterable[ArmOfNetworks], image_size: int) -> list[Arm]:
    """Return arms with the parameters of all members' backbones and the multiply-adds of one, without classifiers."""
    from workflow_scripts.timecat.backbones.sizes import backbone_size

    sizes = [(arm, backbone_size(arm.settings, image_size)) for arm in arms]
    return [replace(arm, parameters=arm.members * size.parameters, macs=size.macs) for arm, size in sizes]
