"""What the command lines of all tables share: the files that they read, their typed JSON options, and outputs."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import parser
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.figures.drawing import private_matplotlib
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet, Style

# Option, its type, and what it is.
JSON_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("cells", list[Cell], '[{"arm", "data_set"}, ...], in the order of the files'),
    ("arms", list[Arm], '[{"name", "members", "steps", "transfer"}, ...], the rows in order'),
    ("data-sets", list[DataSet], '[{"name", "title", "in_distribution", "views"}, ...], the columns in order'),
    ("style", Style, '{"width_per_panel", "height"} of a panel, in inches'),
)
PROBES = PREDICTIONS = "one per (arm, data set)"


def table_parser(
    description: str, outputs: Iterable[str], *, arms: type[Arm] = Arm, **files: str
) -> argparse.ArgumentParser:
    """Return the parser of a table's stage: its files, JSON_OPTIONS, and a path for each of the outputs.

    arms: the class of the table's rows. files: option and what each of its Parquet files is, as
    ``probes="one per (arm, data set)"``.
    """
    command = parser(description)
    for name, meaning in files.items():
        option = f"--{name.replace('_', '-')}"
        command.add_argument(option, nargs="+", required=True, metavar="PARQUET", help=meaning)
    kinds: dict[str, Any] = {"arms": list[arms]}  # type: ignore[valid-type]  # a class that is chosen here
    for name, kind, meaning in JSON_OPTIONS:
        command.add_argument(
            f"--{name}", type=json_of(kinds.get(name, kind)), required=True, metavar="JSON", help=meaning
        )
    for output in outputs:
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    return command


def write_figure(path: str, draw: Callable[[], bytes]) -> None:
    """Write what ``draw`` returns, an SVG, atomically."""
    with private_matplotlib(Path(path).parent):
        write_bytes(path, draw())
