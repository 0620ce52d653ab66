"""Write the table and figure of the worst-group accuracies of all arms on data sets with groups."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.probing.groups import groups_of
from workflow_scripts.timecat.probing.readers import read_index_table
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.contrasts import comparisons, contrast_records
from workflow_scripts.timecat.tables.figures.spurious import spurious_figure
from workflow_scripts.timecat.tables.options import PREDICTIONS, PROBES, table_parser, write_figure
from workflow_scripts.timecat.tables.predicted import (
    add_reference_predictions,
    measured_rows,
    read_measurements,
    read_references,
)
from workflow_scripts.timecat.tables.spurious import columns_of, measure_by, spurious_records, spurious_table
from workflow_scripts.timecat.tables.worth import log_verdicts, targets_of, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text


def main() -> None:
    """Read the command line and write all outputs."""
    outputs = "csv", "contrasts", "markdown", "svg"
    command = table_parser(__doc__, outputs, probes=PROBES, predictions=PREDICTIONS)
    add_reference_predictions(command)
    command.add_argument(
        "--indices", nargs="+", required=True, metavar="PARQUET", help="evaluation index, one per data set"
    )
    command.add_argument("--baseline", required=True, help="arm that all other arms are compared with")
    command.add_argument(
        "--groups", type=json_of(list[str]), required=True, metavar="JSON", help="columns that define the groups"
    )
    given = command.parse_args()

    log_start_up()
    groups = {}
    for data_set, path in zip(given.data_sets, given.indices, strict=True):
        index = read_index_table(path)
        groups[data_set.name] = index["row"].to_numpy(), groups_of(index, given.groups, path)
    measure, columns = measure_by(groups), columns_of(given.data_sets)
    found, references = read_measurements(given, measure), read_references(given, measure)
    rows = with_floors(measured_rows(found, given.arms, columns), references)
    targets = targets_of(found.values, given.arms, columns, references, given.baseline)
    compared = comparisons(found.values, found.influences, given.arms, columns, given.baseline).with_targets(targets)
    write_figure(given.svg, lambda: spurious_figure(rows, given.data_sets, given.style, compared))
    write_bytes(given.markdown, markdown_text(spurious_table(rows, given.data_sets, compared)).encode())
    write_bytes(given.contrasts, csv_text(contrast_records(compared.rows)).encode())
    write_bytes(given.csv, csv_text(spurious_records(rows, given.data_sets, compared)).encode())
    log_verdicts(compared.targets)
    log(f"{len(rows)} arms on {len(given.data_sets)} data sets: {given.csv}")


if __name__ == "__main__":
    run(main)
