"""Stage tabulate_arms: probes of all (arm, data set) of a table beside table 2 to that table and its figure."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.figures.arms import arms_figure
from workflow_scripts.timecat.tables.options import PROBES, table_parser, write_figure
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks, with_parameters
from workflow_scripts.timecat.tables.reading import read_probes
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(__doc__, ("csv", "markdown", "tex", "svg"), arms=ArmOfNetworks, probes=PROBES)
    command.add_argument("--table", required=True, help="its name")
    command.add_argument("--image-size", type=int, required=True, help="side in pixels of the source's images")
    given = command.parse_args()

    log_start_up()
    arms = with_parameters(given.arms, given.image_size)
    rows = accuracy_rows(read_probes(given.probes, given.cells, arms, given.data_sets), arms, given.data_sets)
    table = accuracy_table(rows, given.data_sets, given.table)
    write_figure(given.svg, lambda: arms_figure(rows, given.data_sets, given.style))
    write_bytes(given.tex, tex_text(table).encode())
    write_bytes(given.markdown, markdown_text(table).encode())
    write_bytes(given.csv, csv_text(accuracy_records(rows, given.data_sets)).encode())
    log(f"{len(rows)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
