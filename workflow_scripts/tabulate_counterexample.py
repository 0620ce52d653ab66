"""Write the table of the counterexample (features that its networks keep, and the exact optimum) and its figure."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.counterexample.files import read_settings_found
from workflow_scripts.timecat.counterexample.settings import Settings
from workflow_scripts.timecat.runtime.command import log, log_start_up, parser, run
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.counterexample import counterexample_records
from workflow_scripts.timecat.tables.figures.counterexample import counterexample_figure
from workflow_scripts.timecat.tables.options import write_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text


def main() -> None:
    """Read the command line and write both outputs."""
    command = parser(__doc__)
    for name, meaning in (("runs", "a row per network"), ("together", "a row per group of concatenated seeds")):
        command.add_argument(f"--{name}", required=True, metavar="PARQUET", help=meaning)
    command.add_argument(
        "--settings",
        type=json_of(Settings),
        required=True,
        metavar="JSON",
        help="the block `counterexample` of the config",
    )
    for name, meaning in (("csv", "the summary"), ("svg", "the figure")):
        command.add_argument(f"--{name}", required=True, metavar="PATH", help=f"output: {meaning}")
    given = command.parse_args()

    log_start_up()
    found = read_settings_found(given.runs, given.together, given.settings)
    write_figure(given.svg, lambda: counterexample_figure(found, given.settings))
    write_bytes(given.csv, csv_text(counterexample_records(found, given.settings.grid)).encode())
    log(f"{len(found)} settings: {given.csv}")


if __name__ == "__main__":
    run(main)
