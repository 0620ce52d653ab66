"""The number of parameters of an arm, for tables that show it."""

from collections.abc import Iterable
from dataclasses import replace

from workflow_scripts.timecat.tables.model import Arm


def with_parameters(arms: Iterable[Arm], image_size: int) -> list[Arm]:
    """Return arms with the number of parameters of all their members' backbones, without classifiers."""
    from types import SimpleNamespace

    from workflow_scripts.timecat.backbones.sizes import backbone_size

    sizes = [(arm, backbone_size(SimpleNamespace(**(arm.settings or {})), image_size)) for arm in arms]
    return [replace(arm, parameters=arm.members * size.parameters) for arm, size in sizes]
