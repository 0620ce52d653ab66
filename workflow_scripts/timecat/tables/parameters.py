"""How large the networks of an arm are, for tables that say so."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.tables.model import Arm


@dataclass(frozen=True, kw_only=True)
class ArmOfNetworks(Arm):
    """An arm whose members' network is known. settings: the network's."""

    settings: BackboneSettings


def with_parameters(arms: Iterable[ArmOfNetworks], image_size: int) -> list[Arm]:
    """Return arms with the number of parameters of all their members' backbones, and multiply-adds of one; without
    classifiers."""
    from workflow_scripts.timecat.backbones.sizes import backbone_size

    sizes = [(arm, backbone_size(arm.settings, image_size)) for arm in arms]
    return [replace(arm, parameters=arm.members * size.parameters, macs=size.macs) for arm, size in sizes]
