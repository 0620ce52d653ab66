"""Write the table and figure of the diagnostics of all arms with more than one member."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.diagnostics import diagnostics_records, read_cell
from workflow_scripts.timecat.tables.figures.diagnostics import diagnostics_figure
from workflow_scripts.timecat.tables.options import table_parser, write_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text


def main() -> None:
    """Read the command line and write both outputs."""
    command = table_parser(__doc__, ("csv", "svg"))
    command.add_argument("--diagnostics", nargs="*", required=True, metavar="PARQUET", help="one per (arm, data set)")
    given = command.parse_args()

    log_start_up()
    if not given.diagnostics:
        raise UserError(
            f"{given.csv} compares members, but no arm has more than one member on a target with a probe: add an arm"
            " with `members: 2` or more to the config"
        )
    found = {cell: read_cell(path) for cell, path in zip(given.cells, given.diagnostics, strict=True)}
    write_figure(given.svg, lambda: diagnostics_figure(found, given.arms, given.data_sets, given.style))
    write_bytes(given.csv, csv_text(diagnostics_records(given.arms, found)).encode())
    log(f"{len(given.cells)} cells: {given.csv}")


if __name__ == "__main__":
    run(main)
