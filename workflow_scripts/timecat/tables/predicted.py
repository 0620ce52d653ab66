"""Build rows of tables whose metrics are computed from predictions: measured cells and their reference values.

A column of such a table is a data set, or one of several quantities on a data set. Both are described by model.DataSet.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Replicate, Seeds
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.contrasts import Place
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, Cell, DataSet, Reference, Row, summarize
from workflow_scripts.timecat.tables.options import add_references
from workflow_scripts.timecat.tables.reading import read_cell
from workflow_scripts.timecat.tables.table import Column, Measured, Numbers, Text
from workflow_scripts.timecat.tables.worth import References, Target

Floats: TypeAlias = npt.NDArray[np.float64]

READ = ("selection", "replicate", "row", "label", "predicted")  # columns of predictions that are read
SELECTION = "holdout"  # shown to readers and in figures, because it does not use the evaluation split


class Predicted(NamedTuple):
    """Predictions of one replicate under one selection: numbers of evaluation rows, their labels, predicted labels."""

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]


class Measurement(NamedTuple):
    """Value of a metric in percent, and the influence of each row on it (measures.metrics)."""

    percent: float
    influences: Floats


# Function of a data set's name and predictions on it that returns a measurement for each column.
Measure: TypeAlias = Callable[[str, Predicted], Mapping[str, Measurement]]


@dataclass(frozen=True)
class Measurements:
    """Measurements by (arm, column, selection).

    values: value of each replicate. influences: influences of rows on each replicate's value, [replicates, rows].
    """

    values: Mapping[Place, Sequence[Replicate]]
    influences: Mapping[Place, Floats]


def add_reference_predictions(command: ArgumentParser) -> None:
    """Add the options for reference values (floors, projections, ceilings) with their predictions."""
    add_references(command)
    command.add_argument(
        "--reference-predictions", nargs="*", default=[], metavar="PARQUET", help="one per reference cell"
    )


def read_measurements(given: Namespace, measure: Measure) -> Measurements:
    """Return the measurements of all cells of a table.

    given: options of the table's command line.
    """
    members = {arm.name: arm.members for arm in given.arms}
    _check_numbers(given.cells, "cells", probes=given.probes, predictions=given.predictions)
    values, influences = dict[Place, Sequence[Replicate]](), dict[Place, Floats]()
    numbers = dict[str, npt.NDArray[np.int64]]()
    for cell, metrics, path in zip(given.cells, given.probes, given.predictions, strict=True):
        found = _read(path, _seeds(metrics, members[cell.arm], f"arm {cell.arm!r}"))
        _check_rows(found, numbers, cell, path)
        for (column, selection), (own, bearing) in _measured(found, cell.data_set, measure).items():
            values[cell.arm, column, selection] = own
            influences[cell.arm, column, selection] = bearing
    return Measurements(values, influences)


def read_references(given: Namespace, measure: Measure) -> References:
    """Return the floors and projections of a table.

    given: options of the table's command line.
    """
    cells: Sequence[Reference] = given.reference_cells
    _check_numbers(
        cells, "reference-cells", references=given.references, reference_predictions=given.reference_predictions
    )
    floors = dict[Place, Sequence[Replicate]]()
    projections = dict[tuple[str, str], float]()
    for cell, metrics, path in zip(cells, given.references, given.reference_predictions, strict=True):
        found = _read(path, _seeds(metrics, cell.members, f"the {cell.kind} of {cell.arm or cell.data_set}"))
        for (column, selection), (own, _) in _measured(found, cell.data_set, measure).items():
            if cell.kind == "floor":
                floors[cell.arm, column, selection] = own
            else:
                projections[column, selection] = mean_of(own)
    return References(floors, projections, {})


def mean_of(replicates: Iterable[Replicate]) -> float:
    """Return the mean accuracy over replicates, in percent."""
    return summarize([each.accuracy for each in replicates]).mean


def _check_numbers(cells: Sequence[Cell | Reference], name: str, **paths: Sequence[str]) -> None:
    for option, own in paths.items():
        if len(own) != len(cells):
            raise UserError(
                f"--{option.replace('_', '-')} names {len(own)} files and --{name} {len(cells)} cells; give one cell per "
                "file, in order"
            )


def _seeds(path: str | PathLike[str], members: int, name: str) -> dict[int, Seeds]:
    """Return the seeds of each replicate of a cell."""
    metrics = read_cell(path, members, name)
    return {number: tuple(own) for number, own in zip(metrics["replicate"].to_pylist(), metrics["members"].to_pylist())}


def _read(path: str | PathLike[str], seeds: Mapping[int, Seeds]) -> dict[str, list[tuple[Seeds, Predicted]]]:
    """Return the seeds and predictions of each replicate, by selection."""
    columns = read_predictions(path, READ)
    found: dict[str, list[tuple[Seeds, Predicted]]] = {}
    for selection in SELECTIONS:
        chosen = columns["selection"] == selection
        if (there := set(columns["replicate"][chosen].tolist())) != set(seeds):
            problem = "has no row" if not there else f"has {len(there)} replicates (its metrics have {len(seeds)})"
            raise UserError(f"{path}: {problem} for selection {selection}; delete it and run again")
        for number in sorted(seeds):
            own = chosen & (columns["replicate"] == number)
            predicted = Predicted(*(columns[name][own] for name in ("row", "label", "predicted")))
            found.setdefault(selection, []).append((seeds[number], predicted))
    return found


def _check_rows(
    found: Mapping[str, Sequence[tuple[Seeds, Predicted]]],
    numbers: dict[str, npt.NDArray[np.int64]],
    cell: Cell,
    path: str | PathLike[str],
) -> None:
    """Raise UserError if replicates or arms have predictions of different evaluation rows."""
    for own in found.values():
        for _, predicted in own:
            if not np.array_equal(numbers.setdefault(cell.data_set, predicted.rows), predicted.rows):
                raise UserError(
                    f"{path}: its rows differ from those of other arms on {cell.data_set!r}; delete it and run again"
                )


def _measured(
    found: Mapping[str, Sequence[tuple[Seeds, Predicted]]], data_set: str, measure: Measure
) -> dict[tuple[str, str], tuple[list[Replicate], Floats]]:
    """Return values and influences of a cell's replicates, by column and selection."""
    made: dict[tuple[str, str], tuple[list[Replicate], Floats]] = {}
    for selection, replicates in found.items():
        each = [(seeds, measure(data_set, predicted)) for seeds, predicted in replicates]
        for column in each[0][1]:
            values = [Replicate(seeds, own[column].percent) for seeds, own in each]
            made[column, selection] = values, np.stack([own[column].influences for _, own in each])
    return made


# --- rows and columns ---


def measured_rows(found: Measurements, arms: Iterable[Arm], columns: Sequence[DataSet]) -> list[AccuracyRow]:
    """Return a row for each arm. Raise UserError if the number of replicates differs between columns."""
    rows = []
    for arm in arms:
        places = {
            (column.name, selection): (arm.name, column.name, selection)
            for column in columns
            for selection in SELECTIONS
        }
        counts = {len(found.values[place]) for place in places.values()}
        if len(counts) > 1:
            raise UserError(
                f"arm {arm.name!r} has {sorted(counts)} replicates on different data sets; delete its files and rerun"
            )
        summaries = {key: summarize([each.accuracy for each in found.values[place]]) for key, place in places.items()}
        rows.append(Row(arm, counts.pop(), summaries))
    return rows


def shown(row: AccuracyRow, column: str, published: str = "") -> Measured:
    """Return the value of a cell for readers: the metric under SELECTION, the published figure, and the floor."""
    floor = row.floors.get((column, SELECTION))
    asides = [published, "" if floor is None else f"floor {floor.mean:.1f}"]
    return Measured(row.summaries[column, SELECTION], aside=", ".join(filter(None, asides)))


@dataclass(frozen=True)
class Record:
    """A line of a CSV: an arm on a data set under a selection.

    data_set: name of the data set, or of the mean over data sets.
    """

    row: AccuracyRow
    data_set: str
    selection: str

    @property
    def arm(self) -> Arm:
        return self.row.arm

    @property
    def replicates(self) -> int:
        return self.row.replicates

    def measured(self, column: str) -> Measured:
        """Return the metric's value in a column."""
        return Measured(self.row.summaries[column, self.selection], ".3f")

    def floor(self, column: str) -> Measured:
        """Return the floor of the arm (with untrained networks) in a column, an empty value if there is none."""
        return Measured(self.row.floors.get((column, self.selection)), ".3f")


def worth_columns(targets: Sequence[Target], prefix: str, column_of: Callable[[Record], str]) -> list[Column[Record]]:
    """Return the CSV columns of reference values (floor, projection, ceiling) and verdict, or none without targets.

    prefix: prefix of the columns' names. column_of: function that returns the column of a record's metric.
    """
    by_place = {(each.data_set.name, each.selection): each for each in targets}
    if not by_place:
        return []

    def target(record: Record) -> Target | None:
        return by_place.get((column_of(record), record.selection))

    def levels(record: Record) -> Numbers:
        found = target(record)
        return Numbers((None, None) if found is None else (found.projection, found.ceiling), ".3f")

    def verdict(record: Record) -> Text:
        found = target(record)
        return Text("" if found is None else found.verdict)

    return [
        Column("", (f"{prefix}floor", f"{prefix}floor_std"), lambda record: record.floor(column_of(record))),
        Column("", (f"{prefix}projection", f"{prefix}ceiling"), levels),
        Column("", (f"{prefix}verdict",), verdict),
    ]
