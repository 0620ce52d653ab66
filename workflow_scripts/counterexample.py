"""Train the networks of section 3 of the paper and write the features that each of them keeps, as Parquet."""

from workflow_scripts.timecat.counterexample import files, runs
from workflow_scripts.timecat.counterexample.settings import Settings
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime.command import log, log_start_up, parser, run
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line, train and measure the networks, and write both outputs."""
    command = parser(__doc__)
    command.add_argument(
        "--settings",
        type=json_of(Settings),
        required=True,
        metavar="JSON",
        help="the block `counterexample` of the config",
    )
    for name, meaning in (("runs", "a row per network"), ("together", "a row per group of concatenated seeds")):
        command.add_argument(f"--{name}", required=True, metavar="PARQUET", help=f"output: {meaning}")
    given = command.parse_args()

    log_start_up()
    found = []
    for setting in runs.run_all(given.settings):
        found.append(setting)
        log(
            f"{setting.network}, weight decay {setting.weight_decay:g}, learning rate {setting.lr:g}: "
            f"{(setting.dimensions == 1).mean():.1%} of {setting.dimensions.size} networks keep one feature"
        )
    write_table(given.together, files.together_table(found, given.settings.grid))
    write_table(given.runs, files.runs_table(found, given.settings.grid))


if __name__ == "__main__":
    run(main)
