"""Calibration of every arm on every target: predictions read, measured, and summarised over replicates as CSV."""

import csv
import io
import math

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.calibration import Measured, measure
from workflow_scripts.timecat.measures.groups import Segments
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import Row, summarize
from workflow_scripts.timecat.tables.arms import steps_cell, total_steps

# Columns of both files: percent, or units of σ where the name ends with _sigma or _sigma_calibrated.
QUANTITIES = (
    "accuracy",
    "confidence",
    "ece",
    "ece_calibrated",
    "worst_group_accuracy",
    "ecce_sigma",
    "mce_sigma",
    "mce_sigma_calibrated",
    "mce_abs",
    "minimum_detectable",
)
COLUMNS = ("selection", "replicate", "row", "label", "predicted", "probability")
# float32 rounds to 1 what is nearer to 1 than this; a probability of exactly 1 would make σ zero and errors infinite.
NEARLY_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def measure_cell(path, index_path, index, segments: Segments, bins: int, draws: int) -> dict[str, list[Measured]]:
    """What is measured of the predictions of an (arm, data set): selection -> replicate by replicate.

    index: of the data set's evaluation rows (pyarrow table), at index_path. UserError if predictions are of other rows.
    """
    columns = read_predictions(path, COLUMNS)
    found = {}
    for selection in SELECTIONS:
        found[selection] = []
        for replicate in np.unique(columns["replicate"]):
            chosen = (columns["selection"] == selection) & (columns["replicate"] == replicate)
            own = {name: values[chosen] for name, values in columns.items()}
            if not all(np.array_equal(own[name], index[name].to_numpy()) for name in ("row", "label")):
                raise UserError(
                    f"{path}: rows and labels of replicate {replicate}, selection {selection}, are not those of "
                    f"{index_path}; delete the predictions and run again"
                )
            p = np.minimum(own["probability"].astype(np.float64), NEARLY_ONE)
            y = own["predicted"] == own["label"]
            found[selection].append(measure(p, y, own["row"], segments, bins, draws))
    return found


def quantity_rows(measured, arms, data_sets, quantity: str) -> list[Row]:
    """A quantity as lines of a table: of each arm, a Summary over replicates for each (data set's name, selection).

    measured: {(arm's name, data set's name): what measure_cell gave}; not every arm is on every data set.
    """
    rows = []
    for arm in arms:
        row = Row(arm)
        for data_set in data_sets:
            for selection, own in measured.get((arm["name"], data_set["name"]), {}).items():
                values = [getattr(one, quantity) for one in own]
                row.summaries[data_set["name"], selection] = summarize(values)
                row.replicates = len(values)
        rows.append(row)
    return rows


def csv_text(measured, arms, data_sets, segments) -> str:
    """calibration.csv: a line for each arm, data set and selection; what there is none of is empty.

    segments: data set's name -> its Segments.
    """
    rows = {quantity: quantity_rows(measured, arms, data_sets, quantity) for quantity in QUANTITIES}
    columns = [name for quantity in QUANTITIES for name in (quantity, f"{quantity}_std")]
    fixed = ("method", "members", "steps_per_member", "total_steps", "data_set", "selection", "replicates")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*fixed, "rows", "groups", "segments", *columns])
    for number, arm in enumerate(arms):
        for data_set in data_sets:
            of = segments[data_set["name"]]
            if (arm["name"], data_set["name"]) not in measured:
                continue
            for selection in SELECTIONS:
                own = [rows[quantity][number].summaries[data_set["name"], selection] for quantity in QUANTITIES]
                budget = [arm["members"], steps_cell(arm) or "", total_steps(arm) or ""]
                counts = [own[0].n, of.sizes[0], of.groups, len(of.sizes)]
                numbers = [_number(value) for summary in own for value in (summary.mean, summary.std)]
                writer.writerow([arm["name"], *budget, data_set["name"], selection, *counts, *numbers])
    return file.getvalue()


def replicates_text(measured, arms, data_sets) -> str:
    """calibration_replicates.csv: a line for each replicate and selection of an arm on a data set, its worst group too."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["method", "data_set", "selection", "replicate", *QUANTITIES, "worst_group", "worst_segment"])
    for arm in arms:
        for data_set in data_sets:
            for selection, own in measured.get((arm["name"], data_set["name"]), {}).items():
                for replicate, one in enumerate(own):
                    numbers = [_number(getattr(one, quantity)) for quantity in QUANTITIES]
                    where = [arm["name"], data_set["name"], selection, replicate]
                    writer.writerow([*where, *numbers, one.worst_group, one.worst_segment])
    return file.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"
