"""What the command lines of all tables share: the probes that they read, what rows and columns are, and outputs."""

from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import json_value, parser
from workflow_scripts.timecat.tables import accuracies as tables
from workflow_scripts.timecat.tables.figures import accuracies as figures

JSON_OPTIONS = {
    "cells": '[{"arm", "data_set"}, ...], in the order of the files',
    "arms": '[{"name", "members", "steps", "transfer"}, ...], the rows in order',
    "data-sets": '[{"name", "title", "in_distribution", "views"}, ...], the columns in order',
    "style": '{"width_per_panel", "height"} of a panel, in inches',
}


def table_parser(description: str, outputs):
    """The parser of a table's stage: --probes, JSON_OPTIONS and a path for each of the outputs."""
    command = parser(description)
    command.add_argument("--probes", nargs="+", required=True, metavar="PARQUET", help="one per (arm, data set)")
    return _with_options(command, outputs)


def predictions_parser(description: str, outputs):
    """The same with --predictions in the place of --probes."""
    command = parser(description)
    command.add_argument("--predictions", nargs="+", required=True, metavar="PARQUET", help="one per (arm, data set)")
    return _with_options(command, outputs)


def _with_options(command, outputs):
    for name, meaning in JSON_OPTIONS.items():
        command.add_argument(f"--{name}", type=json_value, required=True, metavar="JSON", help=meaning)
    for output in outputs:
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    return command


def read_rows(given, arms=None) -> tuple[dict, list[tables.Row]]:
    """The probes by (arm, data set), and the table's rows. arms: with what was added to them (default: as given)."""
    arms = given.arms if arms is None else arms
    probes = tables.read_probes(given.probes, given.cells, arms, given.data_sets)
    return probes, tables.table_rows(probes, arms, given.data_sets)


def write_figure(path, draw, rows, data_sets, style: dict) -> None:
    """Write draw(rows, data_sets, style), an SVG, atomically."""
    with figures.private_matplotlib(Path(path).parent):
        write_bytes(path, draw(rows, data_sets, style))


def write_texts(given, rows, name: str) -> None:
    """Write --tex, --markdown and --csv. name: of the table, in LaTeX's label."""
    from workflow_scripts.timecat.tables.tex import tex_text

    write_bytes(given.tex, tex_text(rows, given.data_sets, name).encode())
    write_bytes(given.markdown, tables.markdown_text(rows, given.data_sets).encode())
    write_bytes(given.csv, tables.csv_text(rows, given.data_sets).encode())
