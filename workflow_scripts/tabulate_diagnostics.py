"""Stage tabulate_diagnostics: the diagnostics of all arms with more than one member to one CSV and its figure."""

from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.command import json_value, log, log_start_up, parser, run
from workflow_scripts.timecat.tables import diagnostics as diagnostics_table
from workflow_scripts.timecat.tables.figures import accuracies
from workflow_scripts.timecat.tables.figures import diagnostics as diagnostics_figure


def main() -> None:
    """Read the command line and write both outputs."""
    command = parser(__doc__)
    command.add_argument("--diagnostics", nargs="*", required=True, metavar="PARQUET", help="one per (arm, data set)")
    for name, meaning in (
        ("cells", '[{"arm", "data_set"}, ...], in the order of --diagnostics'),
        ("arms", '[{"name", "members", "steps"}, ...], in order'),
        ("data-sets", '[{"name", "title", "in_distribution"}, ...], in order'),
        ("style", '{"width_per_panel", "height"} of a panel, in inches'),
    ):
        command.add_argument(f"--{name}", type=json_value, required=True, metavar="JSON", help=meaning)
    for output in ("csv", "svg"):
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    given = command.parse_args()

    log_start_up()
    if not given.diagnostics:
        raise UserError(
            "results/diagnostics.csv compares members, and no arm has more than one on a target with a probe: add an arm"
            " with `members: 2` or more to the config"
        )
    found = [diagnostics_table.read_cell(path) for path in given.diagnostics]
    with accuracies.private_matplotlib(Path(given.svg).parent):
        svg = diagnostics_figure.diagnostics_figure(given.cells, given.arms, given.data_sets, found, given.style)
    write_bytes(given.svg, svg)
    write_bytes(given.csv, diagnostics_table.csv_text(given.cells, given.arms, found).encode())
    log(f"{len(given.cells)} cells: {given.csv}")


if __name__ == "__main__":
    run(main)
