"""Write a table of arms other than table 2, its contrasts and its figure from the metrics of its cells."""

from workflow_scripts.timecat.runtime.command import log_start_up, run
from workflow_scripts.timecat.tables import accuracy_job
from workflow_scripts.timecat.tables.figures.arms import arms_figure
from workflow_scripts.timecat.tables.options import ACCURACIES, accuracies_parser
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks, with_parameters


def main() -> None:
    """Read the command line and write all outputs."""
    command = accuracies_parser(__doc__, ACCURACIES, ArmOfNetworks)
    command.add_argument("--table", required=True, help="name of the table")
    command.add_argument("--image-size", type=int, required=True, help="side in pixels of the source's images")
    given = command.parse_args()

    log_start_up()
    found = accuracy_job.read(given, with_parameters(given.arms, given.image_size))
    accuracy_job.write(given, found, arms_figure, given.table)


if __name__ == "__main__":
    run(main)
