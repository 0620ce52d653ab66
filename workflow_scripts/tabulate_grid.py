"""Stage tabulate_grid: probes of every number of members at every number of steps to a table (CSV) and heat maps."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables import accuracies
from workflow_scripts.timecat.tables.command import read_rows, table_parser, write_figure
from workflow_scripts.timecat.tables.figures import grid


def main() -> None:
    """Read the command line and write all outputs."""
    given = table_parser(__doc__, ("csv", "svg")).parse_args()

    log_start_up()
    _, rows = read_rows(given)
    write_figure(given.svg, grid.grid_figure, rows, given.data_sets, given.style)
    write_bytes(given.csv, accuracies.csv_text(rows, given.data_sets).encode())
    log(f"{len(rows)} pairs of members and steps on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
