"""Stage tabulate: probes of all (arm, data set) to the study's table (CSV, Markdown, LaTeX), figure and metrics."""

from workflow_scripts.timecat.artifacts.files import atomic_path
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables import accuracies as tables
from workflow_scripts.timecat.tables.command import read_rows, table_parser, write_figure, write_texts
from workflow_scripts.timecat.tables.figures import accuracies as figures


def main() -> None:
    """Read the command line and write all outputs."""
    given = table_parser(__doc__, ("csv", "markdown", "tex", "svg", "metrics")).parse_args()

    log_start_up()
    probes, rows = read_rows(given)
    write_metrics(given.metrics, tables.metrics_table(probes, given.arms))
    write_figure(given.svg, figures.members_figure, rows, given.data_sets, given.style)
    write_texts(given, rows, "timecat")
    log(f"{len(given.arms)} arms on {len(given.data_sets)} data sets: {given.csv}")


def write_metrics(path, metrics) -> None:
    """Write the long table as Parquet, atomically."""
    import pyarrow.parquet

    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(metrics, temporary, compression="zstd")


if __name__ == "__main__":
    run(main)
