"""Write the table (CSV) and heat maps of the grid: probes for every number of members and number of steps."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows
from workflow_scripts.timecat.tables.convergence import convergence_of
from workflow_scripts.timecat.tables.figures.grid import grid_figure
from workflow_scripts.timecat.tables.options import PROBES, add_references, table_parser, write_figure
from workflow_scripts.timecat.tables.reading import read_probes
from workflow_scripts.timecat.tables.worth import read_references, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(__doc__, ("csv", "svg"), probes=PROBES)
    add_references(command)
    given = command.parse_args()

    log_start_up()
    probes = read_probes(given.probes, given.cells, given.arms, given.data_sets)
    references = read_references(given.references, given.reference_cells, known={})
    rows = with_floors(accuracy_rows(probes, given.arms, given.data_sets), references)
    convergence = convergence_of(probes, given.arms, given.data_sets)
    write_figure(given.svg, lambda: grid_figure(rows, given.data_sets, given.style))
    records = convergence.in_records(accuracy_records(rows, given.data_sets))
    write_bytes(given.csv, csv_text(records).encode())
    log(f"{len(rows)} pairs of members and steps on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
