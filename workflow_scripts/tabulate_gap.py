"""Write the table and figure of gaps between transferred arms and direct training on components of a mixture."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.measures import metrics
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.contrasts import contrast_records
from workflow_scripts.timecat.tables.figures.gap import gap_figure
from workflow_scripts.timecat.tables.gap import (
    MEAN,
    component_targets,
    gap_comparisons,
    gap_records,
    gap_table,
    measure_by,
    references_with_means,
    with_means,
)
from workflow_scripts.timecat.tables.options import PREDICTIONS, PROBES, table_parser, write_figure
from workflow_scripts.timecat.tables.predicted import (
    add_reference_predictions,
    measured_rows,
    read_measurements,
    read_references,
)
from workflow_scripts.timecat.tables.worth import log_verdicts, with_floors
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text


def main() -> None:
    """Read the command line and write all outputs."""
    outputs = "csv", "contrasts", "markdown", "svg"
    command = table_parser(__doc__, outputs, probes=PROBES, predictions=PREDICTIONS)
    add_reference_predictions(command)
    command.add_argument("--metric", choices=tuple(metrics.METRICS), required=True)
    given = command.parse_args()

    log_start_up()
    components, columns = [each.name for each in given.data_sets], [*given.data_sets, MEAN]
    measure, title = measure_by(given.metric), metrics.TITLES[given.metric]
    found = with_means(read_measurements(given, measure), given.arms, components)
    references = references_with_means(read_references(given, measure), components)
    rows = with_floors(measured_rows(found, given.arms, columns), references)
    compared = gap_comparisons(found, given.arms, columns, references)
    write_figure(given.svg, lambda: gap_figure(rows, columns, title, given.style, compared))
    write_bytes(given.markdown, markdown_text(gap_table(rows, columns, title, compared)).encode())
    write_bytes(given.contrasts, csv_text(contrast_records(compared.rows)).encode())
    write_bytes(given.csv, csv_text(gap_records(rows, columns, given.metric, compared)).encode())
    log_verdicts(component_targets(compared))
    log(f"{len(given.arms)} arms on {len(given.data_sets)} components: {given.csv}")


if __name__ == "__main__":
    run(main)
