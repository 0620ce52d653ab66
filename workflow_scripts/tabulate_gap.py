"""Stage tabulate_gap: predictions of transferred and direct arms on a mixture's components to a table of gaps."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.measures import metrics
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables import gap as gap_table
from workflow_scripts.timecat.tables.command import predictions_parser, write_figure
from workflow_scripts.timecat.tables.figures import gap as gap_figure


def main() -> None:
    """Read the command line and write all outputs."""
    command = predictions_parser(__doc__, ("csv", "markdown", "svg"))
    command.add_argument("--metric", choices=tuple(metrics.METRICS), required=True)
    given = command.parse_args()

    log_start_up()
    cells = [(cell["arm"], cell["data_set"]) for cell in given.cells]
    files = zip(cells, given.predictions, strict=True)
    values = {cell: gap_table.read_values(path, given.metric) for cell, path in files}
    rows = gap_table.gap_rows(values, given.arms, [each["name"] for each in given.data_sets])
    title = metrics.TITLES[given.metric]

    def draw(rows, data_sets, style) -> bytes:
        return gap_figure.gap_figure(rows, data_sets, title, style)

    write_figure(given.svg, draw, rows, given.data_sets, given.style)
    write_bytes(given.markdown, gap_table.markdown_text(rows, given.data_sets, title).encode())
    write_bytes(given.csv, gap_table.csv_text(rows, given.metric).encode())
    log(f"{len(given.arms)} arms on {len(given.data_sets)} components: {given.csv}")


if __name__ == "__main__":
    run(main)
