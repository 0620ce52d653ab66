"""Arms and data sets of tables in tests: from the JSON that a rule passes to what a stage works with."""

import json
from pathlib import Path

import pyarrow

from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.model import Arm, DataSet, Style
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks
from workflow_scripts.timecat.tables.reading import selected_values


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


def write_predictions_of(path: Path, probe: pyarrow.Table, rows: int = 400) -> None:
    """Write predictions that are as often right as a cell's metrics say: on the first rows."""
    lines = []
    for selection in SELECTIONS:
        for replicate, top1 in enumerate(selected_values(probe, selection, str(path))):
            right = round(rows * top1 / 100)
            lines += [
                {"selection": selection, "replicate": replicate, "row": row, "label": 1, "predicted": int(row < right)}
                for row in range(rows)
            ]
    write_table(path, pyarrow.Table.from_pylist(lines))
