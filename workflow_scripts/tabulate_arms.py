"""Stage tabulate_arms: probes of all (arm, data set) of a table beside table 2 to that table and its figure."""

from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.tables.command import read_rows, table_parser, write_figure, write_texts
from workflow_scripts.timecat.tables.figures import arms


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(__doc__, ("csv", "markdown", "tex", "svg"))
    command.add_argument("--table", required=True, help="its name")
    command.add_argument("--image-size", type=int, required=True, help="side in pixels of the source's images")
    given = command.parse_args()

    log_start_up()
    _, rows = read_rows(given, [with_parameters(arm, given.image_size) for arm in given.arms])
    write_figure(given.svg, arms.arms_figure, rows, given.data_sets, given.style)
    write_texts(given, rows, given.table)
    log(f"{len(rows)} arms on {len(given.data_sets)} data sets: {given.csv}")


def with_parameters(arm: dict, image_size: int) -> dict:
    """An arm whose `settings`, its backbone's block, are counted: `parameters` of all its members, without a classifier."""
    from types import SimpleNamespace

    from workflow_scripts.timecat.backbones.sizes import backbone_size

    counted = dict(arm)
    size = backbone_size(SimpleNamespace(**counted.pop("settings")), image_size)
    return counted | {"parameters": arm["members"] * size.parameters}


if __name__ == "__main__":
    run(main)
