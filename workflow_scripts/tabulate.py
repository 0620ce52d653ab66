"""Write the study's main table (CSV, Markdown, LaTeX), contrasts, figure and metrics from the metrics of its cells."""

from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime.command import log_start_up, run
from workflow_scripts.timecat.tables import accuracy_job
from workflow_scripts.timecat.tables.figures.accuracies import members_figure
from workflow_scripts.timecat.tables.options import ACCURACIES, accuracies_parser
from workflow_scripts.timecat.tables.reading import metrics_table


def main() -> None:
    """Read the command line and write all outputs."""
    given = accuracies_parser(__doc__, (*ACCURACIES, "metrics")).parse_args()

    log_start_up()
    found = accuracy_job.read(given, given.arms)
    write_table(given.metrics, metrics_table(found.probes, given.arms))
    accuracy_job.write(given, found, members_figure)


if __name__ == "__main__":
    run(main)
