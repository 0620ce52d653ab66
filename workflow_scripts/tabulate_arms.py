"""Stage tabulate_arms: probes of all (arm, data set) of a table beside table 2 to that table, its contrasts and figure."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.contrasts import comparisons, contrast_records
from workflow_scripts.timecat.tables.figures.arms import arms_figure
from workflow_scripts.timecat.tables.options import ACCURACIES, accuracies_parser, write_figure
from workflow_scripts.timecat.tables.parameters import with_parameters
from workflow_scripts.timecat.tables.reading import read_hits, read_probes, selected_accuracies
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = accuracies_parser(__doc__, ACCURACIES)
    command.add_argument("--table", required=True, help="its name")
    command.add_argument("--image-size", type=int, required=True, help="side in pixels of the source's images")
    given = command.parse_args()

    log_start_up()
    arms = with_parameters(given.arms, given.image_size)
    probes = read_probes(given.probes, given.cells, arms, given.data_sets)
    rows = accuracy_rows(probes, arms, given.data_sets)
    accuracies = selected_accuracies(probes)
    hits = read_hits(given.predictions, given.cells, accuracies)
    compared = comparisons(accuracies, hits, arms, given.data_sets, given.baseline)
    table = accuracy_table(rows, given.data_sets, given.table, compared)
    write_figure(given.svg, lambda: arms_figure(rows, given.data_sets, given.style, compared))
    write_bytes(given.tex, tex_text(table).encode())
    write_bytes(given.markdown, markdown_text(table).encode())
    write_bytes(given.contrasts, csv_text(contrast_records(compared.rows)).encode())
    write_bytes(given.csv, csv_text(accuracy_records(rows, given.data_sets)).encode())
    log(f"{len(rows)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
