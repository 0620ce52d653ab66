"""Stage tabulate_gap: predictions of transferred and direct arms on a mixture's components to a table of gaps."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.measures import metrics
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.figures.gap import gap_figure
from workflow_scripts.timecat.tables.gap import gap_records, gap_rows, gap_table, read_values
from workflow_scripts.timecat.tables.options import PREDICTIONS, table_parser, write_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import short_markdown_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(__doc__, ("csv", "markdown", "svg"), predictions=PREDICTIONS)
    command.add_argument("--metric", choices=tuple(metrics.METRICS), required=True)
    given = command.parse_args()

    log_start_up()
    values = {
        (cell.arm, cell.data_set): read_values(path, given.metric)
        for cell, path in zip(given.cells, given.predictions, strict=True)
    }
    rows = gap_rows(values, given.arms, [each.name for each in given.data_sets])
    title = metrics.TITLES[given.metric]
    write_figure(given.svg, lambda: gap_figure(rows, given.data_sets, title, given.style))
    write_bytes(given.markdown, short_markdown_text(gap_table(rows, given.data_sets, title)).encode())
    write_bytes(given.csv, csv_text(gap_records(rows, given.metric)).encode())
    log(f"{len(given.arms)} arms on {len(given.data_sets)} components: {given.csv}")


if __name__ == "__main__":
    run(main)
