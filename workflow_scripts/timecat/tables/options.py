"""Define what the command lines of all tables share: input files, typed JSON options and outputs."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import parser
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.figures.drawing import private_matplotlib
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet, Reference, Style

# Name, type and help of each option.
JSON_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("cells", list[Cell], '[{"arm", "data_set"}, ...], in the order of the files'),
    ("arms", list[Arm], '[{"name", "members", "steps", "transfer"}, ...], the rows in order'),
    ("data-sets", list[DataSet], '[{"name", "title", "in_distribution", "views"}, ...], the columns in order'),
    ("style", Style, '{"width_per_panel", "height"} of a panel, in inches'),
)
PROBES = PREDICTIONS = "one per (arm, data set)"
ACCURACIES = ("csv", "contrasts", "markdown", "tex", "svg")  # output options of a table of accuracies


def table_parser(
    description: str, outputs: Iterable[str], *, arms: type[Arm] = Arm, **files: str
) -> argparse.ArgumentParser:
    """Return the parser of a table's stage, with options for its files, JSON_OPTIONS, and a path for each output.

    arms: the class of the table's rows. files: name and help of each option that takes Parquet files, such as
    ``probes="one per (arm, data set)"``.
    """
    command = parser(description)
    for name, meaning in files.items():
        option = f"--{name.replace('_', '-')}"
        command.add_argument(option, nargs="+", required=True, metavar="PARQUET", help=meaning)
    kinds: dict[str, Any] = {"arms": list[arms]}  # type: ignore[valid-type]  # the class is an argument
    for name, kind, meaning in JSON_OPTIONS:
        command.add_argument(
            f"--{name}", type=json_of(kinds.get(name, kind)), required=True, metavar="JSON", help=meaning
        )
    for output in outputs:
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    return command


def accuracies_parser(description: str, outputs: Iterable[str], arms: type[Arm] = Arm) -> argparse.ArgumentParser:
    """Return the command-line parser of a stage that makes a table of accuracies: table_parser and further options.

    The further options are the baseline, the reference values and the ceilings.
    """
    command = table_parser(description, outputs, arms=arms, probes=PROBES, predictions=PREDICTIONS)
    command.add_argument("--baseline", required=True, help="the arm that the others are compared with")
    add_references(command)
    meaning = "ceilings from other sources, in percent by data set"
    command.add_argument("--ceilings", type=json_of(dict[str, float]), default={}, metavar="JSON", help=meaning)
    return command


def add_references(command: argparse.ArgumentParser) -> None:
    """Add the options for reference values (floors, projections, ceilings) that cells are compared with."""
    command.add_argument("--references", nargs="*", default=[], metavar="PARQUET", help="one per reference cell")
    meaning = '[{"kind", "arm", "data_set", "members"}, ...], in the order of the files'
    command.add_argument("--reference-cells", type=json_of(list[Reference]), default=[], metavar="JSON", help=meaning)


def write_figure(path: str, draw: Callable[[], bytes]) -> None:
    """Write the SVG that ``draw`` returns to a path, atomically."""
    with private_matplotlib(Path(path).parent):
        write_bytes(path, draw())
