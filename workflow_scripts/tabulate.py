"""Stage tabulate: probes of all (arm, data set) to the study's table (CSV, Markdown, LaTeX), figure and metrics."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.convergence import convergence_of
from workflow_scripts.timecat.tables.figures.accuracies import members_figure
from workflow_scripts.timecat.tables.options import PROBES, table_parser, write_figure
from workflow_scripts.timecat.tables.reading import metrics_table, read_probes
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


def main() -> None:
    """Read the command line and write all outputs."""
    given = table_parser(__doc__, ("csv", "markdown", "tex", "svg", "metrics"), probes=PROBES).parse_args()

    log_start_up()
    probes = read_probes(given.probes, given.cells, given.arms, given.data_sets)
    rows = accuracy_rows(probes, given.arms, given.data_sets)
    convergence = convergence_of(probes, given.arms, given.data_sets)
    table = convergence.in_table(accuracy_table(rows, given.data_sets))
    write_table(given.metrics, metrics_table(probes, given.arms))
    write_figure(given.svg, lambda: members_figure(rows, given.data_sets, given.style))
    write_bytes(given.tex, tex_text(table).encode())
    write_bytes(given.markdown, markdown_text(table).encode())
    records = convergence.in_records(accuracy_records(rows, given.data_sets))
    write_bytes(given.csv, csv_text(records).encode())
    log(f"{len(given.arms)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
