"""Stage tabulate: probes of all (arm, data set) to the study's table (CSV, Markdown, LaTeX), figure and metrics."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.figures.accuracies import members_figure
from workflow_scripts.timecat.tables.options import PROBES, add_references, table_parser, write_figure
from workflow_scripts.timecat.tables.reading import metrics_table, read_probes
from workflow_scripts.timecat.tables.worth import log_verdicts, read_references, targets_of, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(__doc__, ("csv", "markdown", "tex", "svg", "metrics"), probes=PROBES)
    add_references(command)
    given = command.parse_args()

    log_start_up()
    probes = read_probes(given.probes, given.cells, given.arms, given.data_sets)
    references = read_references(given.references, given.reference_cells, given.ceilings)
    rows = with_floors(accuracy_rows(probes, given.arms, given.data_sets), references)
    targets = targets_of(probes, given.arms, given.data_sets, references, given.arms[0].name)
    table = accuracy_table(rows, given.data_sets, targets=targets)
    write_table(given.metrics, metrics_table(probes, given.arms))
    write_figure(given.svg, lambda: members_figure(rows, given.data_sets, given.style, targets))
    write_bytes(given.tex, tex_text(table).encode())
    write_bytes(given.markdown, markdown_text(table).encode())
    write_bytes(given.csv, csv_text(accuracy_records(rows, given.data_sets, targets)).encode())
    log_verdicts(targets)
    log(f"{len(given.arms)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
