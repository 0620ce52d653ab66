"""Make a table of accuracies from its cells' files: code that the stages `tabulate` and `tabulate_arms` share."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.tables.accuracies import accuracy_records, accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.contrasts import Comparisons, comparisons, contrast_records
from workflow_scripts.timecat.tables.convergence import Convergence, convergence_of
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, DataSet, Style
from workflow_scripts.timecat.tables.options import write_figure
from workflow_scripts.timecat.tables.reading import Probes, read_hits, read_probes, selected_accuracies
from workflow_scripts.timecat.tables.worth import log_verdicts, read_references, targets_of, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text

Figure = Callable[[Sequence[AccuracyRow], Sequence[DataSet], Style, Comparisons], bytes]


@dataclass(frozen=True)
class Read:
    """Contents of a table: probes by cell, a row per arm, its comparisons, and which cells have converged."""

    probes: Probes
    rows: Sequence[AccuracyRow]
    compared: Comparisons
    convergence: Convergence


def read(given: Namespace, arms: Sequence[Arm]) -> Read:
    """Return the contents of a table.

    given: options of the command line, parsed by accuracies_parser. arms: the table's arms, one per row.
    """
    probes = read_probes(given.probes, given.cells, arms, given.data_sets)
    references = read_references(given.references, given.reference_cells, given.ceilings)
    accuracies = selected_accuracies(probes)
    hits = read_hits(given.predictions, given.cells, accuracies)
    targets = targets_of(accuracies, arms, given.data_sets, references, given.baseline)
    return Read(
        probes,
        with_floors(accuracy_rows(probes, arms, given.data_sets), references),
        comparisons(accuracies, hits, arms, given.data_sets, given.baseline).with_targets(targets),
        convergence_of(probes, arms, given.data_sets),
    )


def write(given: Namespace, found: Read, figure: Figure, name: str = "timecat") -> None:
    """Write all formats of a table, its contrasts and its figure.

    name: name of the table, used in the LaTeX label.
    """
    rows, data_sets, compared = found.rows, given.data_sets, found.compared
    table = found.convergence.in_table(accuracy_table(rows, data_sets, name, compared))
    records = found.convergence.in_records(accuracy_records(rows, data_sets, compared.targets))
    write_figure(given.svg, lambda: figure(rows, data_sets, given.style, compared))
    write_bytes(given.tex, tex_text(table).encode())
    write_bytes(given.markdown, markdown_text(table).encode())
    write_bytes(given.contrasts, csv_text(contrast_records(compared.rows)).encode())
    write_bytes(given.csv, csv_text(records).encode())
    log_verdicts(compared.targets)
    log(f"{len(rows)} arms on {len(data_sets)} data sets: {given.csv}")
