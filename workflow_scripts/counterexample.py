"""Stage counterexample: section 3 of the paper, exact and measured, to a CSV, its figure and a Parquet of all networks."""

from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.counterexample import runs
from workflow_scripts.timecat.counterexample.settings import Settings
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime.command import log, log_start_up, parser, run
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables import counterexample as counterexample_table
from workflow_scripts.timecat.tables.figures import accuracies
from workflow_scripts.timecat.tables.figures import counterexample as counterexample_figure


def main() -> None:
    """Read the command line, train and measure, and write the three outputs."""
    command = parser(__doc__)
    command.add_argument(
        "--settings",
        type=json_of(Settings),
        required=True,
        metavar="JSON",
        help="the block `counterexample` of the config",
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
    with accuracies.private_matplotlib(Path(given.svg).parent):
        svg = counterexample_figure.counterexample_figure(found, given.settings)
    grid = given.settings.grid
    write_bytes(given.svg, svg)
    write_table(given.runs, counterexample_table.runs_table(found, grid))
    write_bytes(given.csv, counterexample_table.csv_text(found, grid).encode())


if __name__ == "__main__":
    run(main)
