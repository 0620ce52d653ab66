"""Measure the calibration of all arms on all targets; write tables, contrasts and a figure of it."""

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.measures.calibration_settings import CalibrationSettings
from workflow_scripts.timecat.runtime.command import log, log_start_up, run
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.calibration import (
    calibration_contrasts,
    calibration_records,
    measure_cells,
    read_evaluations,
    replicate_records,
)
from workflow_scripts.timecat.tables.contrasts import contrast_records
from workflow_scripts.timecat.tables.figures.calibration import calibration_figure
from workflow_scripts.timecat.tables.options import PREDICTIONS, table_parser, write_figure
from workflow_scripts.timecat.tables.writers.csv import csv_text


def main() -> None:
    """Read the command line and write all outputs."""
    command = table_parser(
        __doc__,
        ("csv", "replicates", "contrasts", "svg"),
        predictions=PREDICTIONS,
        evaluation_indices="index of the evaluation rows, one per data set",
        train_indices="index of the training rows that each data set's probe is trained on, one per data set",
    )
    command.add_argument(
        "--settings",
        type=json_of(CalibrationSettings),
        required=True,
        metavar="JSON",
        help='{"bins", "minimum_rows", "depth", "draws"}',
    )
    command.add_argument(
        "--drawn", type=int, required=True, help="number of arms in the figure, counted from the first"
    )
    command.add_argument("--baseline", required=True, help="arm that all other arms are compared with")
    command.add_argument(
        "--seeds",
        type=json_of(dict[str, list[list[int]]]),
        required=True,
        metavar="JSON",
        help="seeds of each replicate's members, by arm: {arm: [[seed, ...], ...]}",
    )
    given = command.parse_args()

    log_start_up()
    evaluations, segments = read_evaluations(
        given.data_sets, given.evaluation_indices, given.train_indices, given.settings
    )
    measured = measure_cells(given.cells, given.predictions, evaluations, segments, given.settings)
    compared = calibration_contrasts(measured, given.arms, given.data_sets, given.seeds, given.baseline)
    drawn = given.arms[: given.drawn]
    seen = [each for each in given.data_sets if any((arm.name, each.name) in measured for arm in drawn)]
    write_figure(given.svg, lambda: calibration_figure(measured, drawn, seen, given.style))
    write_bytes(given.replicates, csv_text(replicate_records(measured, given.arms, given.data_sets)).encode())
    write_bytes(given.contrasts, csv_text(contrast_records(compared)).encode())
    write_bytes(given.csv, csv_text(calibration_records(measured, given.arms, given.data_sets, segments)).encode())
    log(f"{len(given.cells)} cells: {given.csv}")


if __name__ == "__main__":
    run(main)
