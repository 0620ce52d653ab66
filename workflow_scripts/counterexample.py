"""Stage counterexample: section 3 of the paper, exact and measured, to a CSV, its figure and a Parquet of all networks."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.counterexample import runs
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime.command import json_value, log, log_start_up, parser, run
from workflow_scripts.timecat.tables.counterexample import counterexample_records, runs_table
from workflow_scripts.timecat.tables.figures.counterexample import counterexample_figure
from workflow_scripts.timecat.tables.options import write_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text


def main() -> None:
    """Read the command line, train and measure, and write the three outputs."""
    command = parser(__doc__)
    command.add_argument(
        "--settings", type=json_value, required=True, metavar="JSON", help="the block `counterexample` of the config"
    )
    for name, meaning in (("csv", "the summary"), ("svg", "the figure"), ("runs", "a row per network, as Parquet")):
        command.add_argument(f"--{name}", required=True, metavar="PATH", help=f"output: {meaning}")
    given = command.parse_args()

    log_start_up()
    found = []
    for setting in runs.run_all(given.settings):
        found.append(setting)
        log(
            f"{setting.network}, weight decay {setting.weight_decay:g}, learning rate {setting.lr:g}: of "
            f"{setting.dimensions.size} networks {(setting.dimensions == 1).mean():.1%} keep one feature"
        )
    grid = given.settings["grid"]
    write_figure(given.svg, lambda: counterexample_figure(found, given.settings))
    write_table(given.runs, runs_table(found, grid))
    write_bytes(given.csv, csv_text(counterexample_records(found, grid)).encode())


if __name__ == "__main__":
    run(main)
