"""Make the table of accuracy against dimensions from its cells' files: code of the stage `tabulate_width`."""

from argparse import Namespace

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.tables.accuracies import accuracy_rows
from workflow_scripts.timecat.tables.accuracy_job import Read
from workflow_scripts.timecat.tables.contrasts import contrast_records
from workflow_scripts.timecat.tables.convergence import convergence_of
from workflow_scripts.timecat.tables.figures.width import width_figure
from workflow_scripts.timecat.tables.options import write_figure
from workflow_scripts.timecat.tables.reading import read_hits, read_probes, selected_accuracies
from workflow_scripts.timecat.tables.width import compared_alike, width_records, width_table
from workflow_scripts.timecat.tables.worth import read_references, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


def read(given: Namespace) -> Read:
    """Return the contents of the table.

    given: options of the command line, parsed by accuracies_parser.
    """
    probes = read_probes(given.probes, given.cells, given.arms, given.data_sets)
    references = read_references(given.references, given.reference_cells, given.ceilings)
    accuracies = selected_accuracies(probes)
    hits = read_hits(given.predictions, given.cells, accuracies)
    return Read(
        probes,
        with_floors(accuracy_rows(probes, given.arms, given.data_sets), references),
        compared_alike(accuracies, hits, given.arms, given.data_sets, references, given.baseline),
        convergence_of(probes, given.arms, given.data_sets),
    )


def write(given: Namespace, found: Read) -> None:
    """Write all formats of the table, its contrasts and its figure."""
    rows, data_sets, compared = found.rows, given.data_sets, found.compared
    table = found.convergence.in_table(width_table(rows, data_sets, compared, "width"))
    write_figure(given.svg, lambda: width_figure(rows, data_sets, given.style, compared))
    write_bytes(given.tex, tex_text(table).encode())
    write_bytes(given.markdown, markdown_text(table).encode())
    write_bytes(given.contrasts, csv_text(contrast_records(compared.rows)).encode())
    write_bytes(given.csv, csv_text(found.convergence.in_records(width_records(rows, data_sets, compared))).encode())
    log(f"{len(rows)} arms on {len(data_sets)} data sets: {given.csv}")
