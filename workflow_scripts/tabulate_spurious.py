"""Stage tabulate_spurious: predictions of all arms on data sets with groups to a table of worst groups, and its figure."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.probing.groups import groups_of
from workflow_scripts.timecat.probing.readers import read_index_table
from workflow_scripts.timecat.runtime.command import json_value, log, log_start_up, run
from workflow_scripts.timecat.tables import spurious as spurious_table
from workflow_scripts.timecat.tables.command import predictions_parser, write_figure
from workflow_scripts.timecat.tables.figures import spurious as spurious_figure


def main() -> None:
    """Read the command line and write all outputs."""
    command = predictions_parser(__doc__, ("csv", "markdown", "svg"))
    command.add_argument("--indices", nargs="+", required=True, metavar="PARQUET", help="evaluation, one per data set")
    command.add_argument("--groups", type=json_value, required=True, metavar="JSON", help="columns that make groups")
    given = command.parse_args()

    log_start_up()
    of = {}
    for data_set, path in zip(given.data_sets, given.indices, strict=True):
        index = read_index_table(path)
        of[data_set["name"]] = index["row"].to_numpy(), groups_of(index, given.groups, path)
    files = zip(given.cells, given.predictions, strict=True)
    measured = {
        (cell["arm"], cell["data_set"]): spurious_table.measure(path, *of[cell["data_set"]]) for cell, path in files
    }
    rows = spurious_table.spurious_rows(measured, given.arms, given.data_sets)
    write_figure(given.svg, spurious_figure.spurious_figure, rows, given.data_sets, given.style)
    write_bytes(given.markdown, spurious_table.markdown_text(rows, given.data_sets).encode())
    write_bytes(given.csv, spurious_table.csv_text(rows, given.data_sets).encode())
    log(f"{len(rows)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
