"""Write the table of accuracy against the number of dimensions, its contrasts and its figure."""

from workflow_scripts.timecat.runtime.command import log_start_up, run
from workflow_scripts.timecat.tables import width_job
from workflow_scripts.timecat.tables.options import ACCURACIES, accuracies_parser
from workflow_scripts.timecat.tables.width import ArmOfWidth


def main() -> None:
    """Read the command line and write all outputs."""
    given = accuracies_parser(__doc__, ACCURACIES, ArmOfWidth).parse_args()

    log_start_up()
    width_job.write(given, width_job.read(given))


if __name__ == "__main__":
    run(main)
