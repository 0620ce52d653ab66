"""The number of parameters of an arm, for tables that show it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.tables.model import Arm


@dataclass(frozen=True, kw_only=True)
class ArmOfNetworks(Arm):
    """An arm whose members' network is known. settings: the network's."""

    settings: BackboneSettings


def with_parameters(arms: Iterable[ArmOfNetworks], image_size: int) -> list[Arm]:
    """Return arms with the number of parameters of all their members' backbones, without classifiers."""
    from workflow_scripts.timecat.backbones.sizes import backbone_size

    sizes = [(arm, backbone_size(arm.settings, image_size)) for arm in arms]
    return [replace(arm, parameters=arm.members * size.parameters) for arm, size in sizes]
