"""Arms and data sets of tables in tests: from the JSON that a rule passes to what a stage works with."""

import json

from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.model import Arm, DataSet, Style
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks


def arm_of(**described) -> Arm:
    """Return an arm as a stage parses it, probed where nothing else is said, with its network where that is described."""
    kind = ArmOfNetworks if "settings" in described else Arm
    return json_of(kind)(json.dumps({"transfer": "probe"} | described))


def arms_of(described: list[dict]) -> list[Arm]:
    """Return arms as arm_of does."""
    return [arm_of(**arm) for arm in described]


def data_sets_of(described: list[dict]) -> list[DataSet]:
    """Return data sets as a stage parses them."""
    return json_of(list[DataSet])(json.dumps(described))


def style_of(described: dict) -> Style:
    """Return the style of a figure as a stage parses it."""
    return json_of(Style)(json.dumps(described))
