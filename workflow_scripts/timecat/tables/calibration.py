"""Measure the calibration of every arm on every target from its predictions, and summarise it over replicates as CSV.

A contrast is an arm's value minus the baseline's, for each COMPARED quantity and each data set that both have. It has
no error over evaluation rows, because an expected calibration error is not a mean over rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures import calibration as measures
from workflow_scripts.timecat.measures import groups
from workflow_scripts.timecat.measures.calibration_settings import CalibrationSettings
from workflow_scripts.timecat.measures.contrasts import Replicate, Seeds, contrast
from workflow_scripts.timecat.measures.groups import Segments
from workflow_scripts.timecat.probing.readers import read_index_table, read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.tables.columns import BUDGET, DATA_SET, METHOD, REPLICATES, SELECTED_BY, TOTAL_STEPS
from workflow_scripts.timecat.tables.contrasts import ContrastRow, adjusted
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, Cell, DataSet, Row, Summary, summarize
from workflow_scripts.timecat.tables.table import Column, Count, Measured, Numbers, Table, Text, table_of

if TYPE_CHECKING:
    import pyarrow

# Columns of both files: percent, units of σ (names that end in _sigma or _sigma_calibrated), or p-values (P_VALUES).
QUANTITIES = (
    "accuracy",
    "confidence",
    "ece",
    "ece_calibrated",
    "worst_group_accuracy",
    "ecce_sigma",
    "ecce_p",
    "mce_sigma",
    "mce_p",
    "mce_p_unadjusted",
    "mce_sigma_calibrated",
    "mce_abs",
    "minimum_detectable",
)
# Quantities that contrasts compare, in points. Higher is better, except for ece and ece_calibrated.
COMPARED = ("accuracy", "ece", "ece_calibrated", "worst_group_accuracy")
# A mean of p-values over replicates is not a p-value, but twice the mean is, under any dependence (Vovk and Wang 2020).
P_VALUES = ("ecce_p", "mce_p", "mce_p_unadjusted")
# Measurements of each replicate, by selection.
Measurements = dict[str, list[measures.Measured]]
COLUMNS = ("selection", "replicate", "row", "label", "predicted", "probability")
# Largest float32 below 1. Probabilities are capped here, because exactly 1 would make σ zero and errors infinite.
NEARLY_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


@dataclass(frozen=True)
class Evaluation:
    """The index of a data set's evaluation rows, and its path."""

    path: str
    index: "pyarrow.Table"


def read_evaluations(
    data_sets: Sequence[DataSet],
    evaluation_indices: Sequence[str],
    train_indices: Sequence[str],
    settings: CalibrationSettings,
) -> tuple[dict[str, Evaluation], dict[str, Segments]]:
    """Return the evaluation rows and the segments of each data set, by its name, and log the groupings."""
    evaluations, segments = {}, {}
    for data_set, path, train in zip(data_sets, evaluation_indices, train_indices, strict=True):
        name, index = data_set.name, read_index_table(path)
        of = groups.groupings(index, read_index_table(train))
        own = groups.make_segments(index.num_rows, of, settings.minimum_rows, settings.depth)
        segments[name], evaluations[name] = own, Evaluation(path, index)
        names = ", ".join(one.name for one in of) or "none"
        log(f"{name}: groupings {names}; {own.groups} groups with enough rows, {len(own.sizes)} segments")
    return evaluations, segments


def measure_cells(
    cells: Sequence[Cell],
    predictions: Sequence[str],
    evaluations: Mapping[str, Evaluation],
    segments: Mapping[str, Segments],
    settings: CalibrationSettings,
) -> dict[tuple[str, str], Measurements]:
    """Return the measurements of each cell, by (arm's name, data set's name).

    predictions: paths of the files of predictions, one per cell.
    """
    measured = {}
    for cell, path in zip(cells, predictions, strict=True):
        where = evaluations[cell.data_set], segments[cell.data_set]
        measured[cell.arm, cell.data_set] = measure_cell(path, *where, settings.bins, settings.draws)
    return measured


def measure_cell(
    path: str | PathLike[str], evaluation: Evaluation, segments: Segments, bins: int, draws: int
) -> Measurements:
    """Return the measurements of an (arm, data set). Raise UserError if its predictions do not match the index."""
    columns = read_predictions(path, COLUMNS)
    found: Measurements = {}
    for selection in SELECTIONS:
        found[selection] = []
        for replicate in np.unique(columns["replicate"]):
            chosen = (columns["selection"] == selection) & (columns["replicate"] == replicate)
            own = {name: values[chosen] for name, values in columns.items()}
            if not all(np.array_equal(own[name], evaluation.index[name].to_numpy()) for name in ("row", "label")):
                raise UserError(
                    f"{path}: rows and labels of replicate {replicate}, selection {selection}, differ from those of "
                    f"{evaluation.path}; delete the predictions and run again"
                )
            p = np.minimum(own["probability"].astype(np.float64), NEARLY_ONE)
            y = own["predicted"] == own["label"]
            found[selection].append(measures.measure(p, y, own["row"], segments, bins, draws))
    return found


# Measurements by (arm's name, data set's name); an arm may lack some data sets.
Cells = Mapping[tuple[str, str], Measurements]


def quantity_rows(
    measured: Cells, arms: Iterable[Arm], data_sets: Sequence[DataSet], quantity: str
) -> list[AccuracyRow]:
    """Return a row for each arm with a quantity's Summary over replicates, by (data set's name, selection)."""
    rows = []
    for arm in arms:
        summaries, replicates = {}, 0
        for data_set in data_sets:
            for selection, own in measured.get((arm.name, data_set.name), {}).items():
                summaries[data_set.name, selection] = _summary(own, quantity)
                replicates = len(own)
        rows.append(Row(arm, replicates, summaries))
    return rows


def _summary(own: Sequence[measures.Measured], quantity: str) -> Summary:
    return summarize([getattr(one, quantity) for one in own])


@dataclass(frozen=True)
class _Record:
    """Measurements of all replicates of an arm on a data set under one selection."""

    arm: Arm
    data_set: str
    selection: str
    measured: Sequence[measures.Measured]

    @property
    def replicates(self) -> int:
        return len(self.measured)


def _records(measured: Cells, arms: Iterable[Arm], data_sets: Sequence[DataSet]) -> list[_Record]:
    return [
        _Record(arm, data_set.name, selection, own)
        for arm in arms
        for data_set in data_sets
        for selection, own in measured.get((arm.name, data_set.name), {}).items()
    ]


def calibration_records(
    measured: Cells, arms: Iterable[Arm], data_sets: Sequence[DataSet], segments: Mapping[str, Segments]
) -> Table:
    """Return the table of calibration.csv, a line per arm, data set and selection.

    segments: segments of each data set, by its name.
    """
    columns: list[Column[_Record]] = [METHOD, BUDGET, TOTAL_STEPS, DATA_SET, SELECTED_BY, REPLICATES]
    columns += [
        Column("", ("rows",), lambda record: Count(int(segments[record.data_set].sizes[0]))),
        Column("", ("groups",), lambda record: Count(segments[record.data_set].groups)),
        Column("", ("segments",), lambda record: Count(len(segments[record.data_set].sizes))),
    ]
    columns += [_quantity(name) for name in QUANTITIES]
    return table_of(columns, _records(measured, arms, data_sets))


def _quantity(name: str) -> Column[_Record]:
    return Column("", (name, f"{name}_std"), lambda record: Measured(_summary(record.measured, name), _form(name)))


def _form(name: str) -> str:
    """Return the print format of a quantity. P-values get significant digits, so that small ones do not print as 0."""
    return ".3g" if name in P_VALUES else ".3f"


def _single(name: str) -> "Column[_OfReplicate]":
    return Column("", (name,), lambda line: Numbers((getattr(line.measured, name),), _form(name)))


@dataclass(frozen=True)
class _OfReplicate:
    """Measurements of one replicate of an arm on a data set under one selection."""

    arm: Arm
    data_set: str
    selection: str
    replicate: int
    measured: measures.Measured


def replicate_records(measured: Cells, arms: Iterable[Arm], data_sets: Sequence[DataSet]) -> Table:
    """Return the table of calibration_replicates.csv, a line per replicate, with its worst group and segment."""
    columns: list[Column[_OfReplicate]] = [
        *(METHOD, DATA_SET, SELECTED_BY),
        Column("", ("replicate",), lambda line: Count(line.replicate)),
        *map(_single, QUANTITIES),
        Column("", ("worst_group",), lambda line: Text(line.measured.worst_group)),
        Column("", ("worst_segment",), lambda line: Text(line.measured.worst_segment)),
    ]
    lines = [
        _OfReplicate(record.arm, record.data_set, record.selection, number, one)
        for record in _records(measured, arms, data_sets)
        for number, one in enumerate(record.measured)
    ]
    return table_of(columns, lines)


# --- contrasts ---


class QuantityRow(ContrastRow):
    """Contrast of one quantity; its kind is the name of the quantity.

    Every quantity is tested, and the p-values of each quantity are a family.
    """

    @property
    def p(self) -> float | None:
        """Two-sided p-value of the hypothesis of no difference, or None without an interval."""
        return self.contrast.p


def calibration_contrasts(
    measured: Cells,
    arms: Sequence[Arm],
    data_sets: Sequence[DataSet],
    seeds: Mapping[str, Sequence[Seeds]],
    baseline: str,
) -> list[ContrastRow]:
    """Return each arm minus the baseline for every COMPARED quantity, on every data set on which both have it.

    seeds: seeds of each replicate, by the arm's name. Raise UserError if predictions have more or fewer replicates.
    """
    replicates = {
        (record.arm.name, record.data_set, record.selection, quantity): _replicates(record, seeds, quantity)
        for record in _records(measured, arms, data_sets)
        for quantity in COMPARED
    }
    rows = [
        QuantityRow(quantity, arm, data_set.name, selection, baseline, contrast(own, other))
        for selection in SELECTIONS
        for quantity in COMPARED
        for arm in arms
        if arm.name != baseline
        for data_set in data_sets
        if (own := replicates.get((arm.name, data_set.name, selection, quantity)))
        and (other := replicates.get((baseline, data_set.name, selection, quantity)))
    ]
    return adjusted(rows, data_sets)


def _replicates(record: _Record, seeds: Mapping[str, Sequence[Seeds]], quantity: str) -> list[Replicate]:
    """Return a quantity's value for each replicate, or [] if it is undefined (worst-group accuracy without groups)."""
    own = seeds[record.arm.name]
    if len(own) != record.replicates:
        raise UserError(
            f"arm {record.arm.name!r} on data set {record.data_set!r}: its predictions have {record.replicates} "
            f"replicates, but --seeds has {len(own)}; delete the predictions and run again"
        )
    values = [getattr(one, quantity) for one in record.measured]
    return [] if np.isnan(values).any() else [Replicate(tuple(each), one) for each, one in zip(own, values)]
