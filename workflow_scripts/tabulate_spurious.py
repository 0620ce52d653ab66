"""Stage tabulate_spurious: predictions of all arms on data sets with groups to a table of worst groups, and its figure."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.probing.groups import groups_of
from workflow_scripts.timecat.probing.readers import read_index_table
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.figures.spurious import spurious_figure
from workflow_scripts.timecat.tables.options import PREDICTIONS, table_parser, write_figure
from workflow_scripts.timecat.tables.spurious import measure, spurious_records, spurious_rows, spurious_table
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import short_markdown_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(__doc__, ("csv", "markdown", "svg"), predictions=PREDICTIONS)
    command.add_argument("--indices", nargs="+", required=True, metavar="PARQUET", help="evaluation, one per data set")
    command.add_argument(
        "--groups", type=json_of(list[str]), required=True, metavar="JSON", help="columns that make groups"
    )
    given = command.parse_args()

    log_start_up()
    groups = {}
    for data_set, path in zip(given.data_sets, given.indices, strict=True):
        index = read_index_table(path)
        groups[data_set.name] = index["row"].to_numpy(), groups_of(index, given.groups, path)
    measured = {
        (cell.arm, cell.data_set): measure(path, *groups[cell.data_set])
        for cell, path in zip(given.cells, given.predictions, strict=True)
    }
    rows = spurious_rows(measured, given.arms, given.data_sets)
    write_figure(given.svg, lambda: spurious_figure(rows, given.data_sets, given.style))
    write_bytes(given.markdown, short_markdown_text(spurious_table(rows, given.data_sets)).encode())
    write_bytes(given.csv, csv_text(spurious_records(rows, given.data_sets)).encode())
    log(f"{len(rows)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
