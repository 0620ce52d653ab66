"""Stage calibration: the predictions of all arms on all targets to tables of their calibration, and the figure."""

from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.measures import groups
from workflow_scripts.timecat.measures.calibration_settings import CalibrationSettings
from workflow_scripts.timecat.runtime.command import json_value, log, log_start_up, parser, run
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables import calibration as calibration_table
from workflow_scripts.timecat.tables.figures import accuracies
from workflow_scripts.timecat.tables.figures import calibration as calibration_figure


def main() -> None:
    """Read the command line and write all outputs."""
    command = parser(__doc__)
    for name, meaning in (
        ("predictions", "one per (arm, data set)"),
        ("evaluation-indices", "one per data set"),
        ("train-indices", "of each data set's probe: one per data set"),
    ):
        command.add_argument(f"--{name}", nargs="+", required=True, metavar="PARQUET", help=meaning)
    for name, meaning in (
        ("cells", '[{"arm", "data_set"}, ...], in the order of --predictions'),
        ("arms", '[{"name", "members", "steps", "transfer"}, ...], in order'),
        ("data-sets", '[{"name", "title", "in_distribution"}, ...], in order'),
        ("style", '{"width_per_panel", "height"} of a panel, in inches'),
    ):
        command.add_argument(f"--{name}", type=json_value, required=True, metavar="JSON", help=meaning)
    command.add_argument(
        "--settings",
        type=json_of(CalibrationSettings),
        required=True,
        metavar="JSON",
        help='{"bins", "minimum_rows", "depth", "draws"}',
    )
    command.add_argument(
        "--drawn", type=int, required=True, help="how many of the arms, from the first, the figure has"
    )
    for output in ("csv", "replicates", "svg"):
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    given = command.parse_args()

    log_start_up()
    indices, segments = {}, {}
    for data_set, path, train in zip(given.data_sets, given.evaluation_indices, given.train_indices, strict=True):
        index = calibration_table.read_index(path)
        of = groups.groupings(index, calibration_table.read_index(train))
        segments[data_set["name"]] = groups.make_segments(
            index.num_rows, of, given.settings.minimum_rows, given.settings.depth
        )
        indices[data_set["name"]] = path, index
        names = ", ".join(one.name for one in of) or "none"
        own = segments[data_set["name"]]
        log(f"{data_set['name']}: groupings {names}; {own.groups} groups count, {len(own.sizes)} segments")
    measured = {}
    for cell, path in zip(given.cells, given.predictions, strict=True):
        name = cell["data_set"]
        measured[cell["arm"], name] = calibration_table.measure_cell(
            path, *indices[name], segments[name], given.settings.bins, given.settings.draws
        )
    with accuracies.private_matplotlib(Path(given.svg).parent):
        drawn = given.arms[: given.drawn]
        seen = [each for each in given.data_sets if any((arm["name"], each["name"]) in measured for arm in drawn)]
        svg = calibration_figure.calibration_figure(measured, drawn, seen, given.style)
    write_bytes(given.svg, svg)
    write_bytes(given.replicates, calibration_table.replicates_text(measured, given.arms, given.data_sets).encode())
    write_bytes(given.csv, calibration_table.csv_text(measured, given.arms, given.data_sets, segments).encode())
    log(f"{len(given.cells)} cells: {given.csv}")


if __name__ == "__main__":
    run(main)
