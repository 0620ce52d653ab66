"""Arms and data sets of tables in tests: from the JSON that a rule passes to what a stage works with."""

import json

from workflow_scripts.timecat.tables.model import Arm, DataSet, Style
from workflow_scripts.timecat.tables.options import parsed_as


def arm_of(**described) -> Arm:
    """Return an arm as a stage parses it."""
    return parsed_as(Arm)(json.dumps(described))


def arms_of(described: list[dict]) -> list[Arm]:
    """Return arms as a stage parses them."""
    return parsed_as(list[Arm])(json.dumps(described))


def data_sets_of(described: list[dict]) -> list[DataSet]:
    """Return data sets as a stage parses them."""
    return parsed_as(list[DataSet])(json.dumps(described))


def style_of(described: dict) -> Style:
    """Return the style of a figure as a stage parses it."""
    return parsed_as(Style)(json.dumps(described))
