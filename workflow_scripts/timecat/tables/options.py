"""What the command lines of all tables share: the files that they read, their typed JSON options, and outputs."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import parser
from workflow_scripts.timecat.tables.figures.drawing import private_matplotlib
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet, Reference, Style

# Option, its type, and what it is.
JSON_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("cells", list[Cell], '[{"arm", "data_set"}, ...], in the order of the files'),
    ("arms", list[Arm], '[{"name", "members", "steps", "transfer"}, ...], the rows in order'),
    ("data-sets", list[DataSet], '[{"name", "title", "in_distribution", "views"}, ...], the columns in order'),
    ("style", Style, '{"width_per_panel", "height"} of a panel, in inches'),
)
PROBES = PREDICTIONS = "one per (arm, data set)"
ACCURACIES = ("csv", "contrasts", "markdown", "tex", "svg")  # outputs of a table of accuracies


def table_parser(description: str, outputs: Iterable[str], **files: str) -> argparse.ArgumentParser:
    """Return the parser of a table's stage: its files, JSON_OPTIONS, and a path for each of the outputs.

    files: option and what each of its Parquet files is, as ``probes="one per (arm, data set)"``.
    """
    command = parser(description)
    for name, meaning in files.items():
        option = f"--{name.replace('_', '-')}"
        command.add_argument(option, nargs="+", required=True, metavar="PARQUET", help=meaning)
    for name, kind, meaning in JSON_OPTIONS:
        command.add_argument(f"--{name}", type=parsed_as(kind), required=True, metavar="JSON", help=meaning)
    for output in outputs:
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    return command


def accuracies_parser(description: str, outputs: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser of a table of accuracies, which compares its arms with a baseline, and all with references."""
    command = table_parser(description, outputs, probes=PROBES, predictions=PREDICTIONS)
    command.add_argument("--baseline", required=True, help="the arm that the others are compared with")
    add_references(command)
    return command


def add_references(command: argparse.ArgumentParser) -> None:
    """Add the options of what a table's cells are measured against: untrained arms, a projection of pixels, ceilings."""
    command.add_argument("--references", nargs="*", default=[], metavar="PARQUET", help="one per cell of these")
    meaning = '[{"kind", "arm", "data_set", "members"}, ...], in the order of the files'
    command.add_argument("--reference-cells", type=parsed_as(list[Reference]), default=[], metavar="JSON", help=meaning)
    meaning = "ceilings that others have measured, percent by data set"
    command.add_argument("--ceilings", type=parsed_as(dict[str, float]), default={}, metavar="JSON", help=meaning)


def parsed_as(kind: Any) -> Callable[[str], Any]:
    """Return an argparse type: JSON of a typed value. The message of an error says which values do not fit."""

    def parse(text: str) -> Any:
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(kind).validate_json(text)
        except ValidationError as error:
            found = [f"{_place(each['loc'])}{each['msg']}" for each in error.errors(include_url=False)]
            raise argparse.ArgumentTypeError("; ".join(found)) from None

    return parse


def _place(steps: tuple[int | str, ...]) -> str:
    """Return where in JSON an error is, as ``[0].members: ``; "" for all of it."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{place.removeprefix('.')}: " if place else ""


def write_figure(path: str, draw: Callable[[], bytes]) -> None:
    """Write what ``draw`` returns, an SVG, atomically."""
    with private_matplotlib(Path(path).parent):
        write_bytes(path, draw())
