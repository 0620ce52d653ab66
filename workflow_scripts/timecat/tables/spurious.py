"""Spurious features: average and worst group's accuracy of every arm, on data sets with groups, over replicates.

A group is a label and a value of each group column of the evaluation index. The average is over all evaluation rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.groups import group_accuracies
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.columns import (
    BUDGET,
    DATA_SET,
    METHOD,
    REPLICATES,
    SELECTED_BY,
    TOTAL_STEPS,
    TRANSFER,
)
from workflow_scripts.timecat.tables.model import Arm, DataSet, Row, Summary, summarize
from workflow_scripts.timecat.tables.notes import arm_notes
from workflow_scripts.timecat.tables.table import Column, Measured, Table, Term, Text, section_of, table_of

AVERAGE, WORST = "average", "worst_group"
QUANTITIES = (AVERAGE, WORST)
SELECTION = "holdout"  # which readers and the figure are shown: it does not look at the evaluation split
COLUMNS = ("selection", "replicate", "row", "label", "predicted")

SpuriousRow = Row[tuple[str, str, str]]  # by (data set's name, quantity, selection)
Measurements = dict[tuple[str, str], list[float]]  # by (quantity, selection): percent, replicate by replicate


def measure(path: str | PathLike[str], rows: np.ndarray, groups: np.ndarray) -> Measurements:
    """Return what is measured of one arm's predictions on one data set.

    rows, groups: row number and group of each evaluation row, in the index's order.
    """
    columns = read_predictions(path, COLUMNS)
    found: Measurements = {(quantity, selection): [] for quantity in QUANTITIES for selection in SELECTIONS}
    for selection in SELECTIONS:
        for replicate in np.unique(columns["replicate"]):
            chosen = (columns["selection"] == selection) & (columns["replicate"] == replicate)
            if not np.array_equal(columns["row"][chosen], rows):
                raise UserError(
                    f"{path}: rows of replicate {replicate}, selection {selection}, are not the data set's; delete it and "
                    "run again"
                )
            hits = columns["label"][chosen] == columns["predicted"][chosen]
            found[AVERAGE, selection].append(100.0 * float(hits.mean()))
            found[WORST, selection].append(float(group_accuracies(hits, groups).min()))
    return found


def spurious_rows(
    measured: Mapping[tuple[str, str], Measurements], arms: Iterable[Arm], data_sets: Sequence[DataSet]
) -> list[SpuriousRow]:
    """Return what the table says of each arm. measured: by (arm's name, data set's name)."""
    rows = []
    for arm in arms:
        summaries, replicates = {}, 0
        for data_set in data_sets:
            for (quantity, selection), values in measured[arm.name, data_set.name].items():
                summaries[data_set.name, quantity, selection] = summarize(values)
                replicates = len(values)
        rows.append(Row(arm, replicates, summaries))
    return rows


@dataclass(frozen=True)
class _Record:
    """An arm on a data set under one selection."""

    row: SpuriousRow
    data_set: str
    selection: str

    @property
    def arm(self) -> Arm:
        return self.row.arm

    @property
    def replicates(self) -> int:
        return self.row.replicates

    def summary(self, quantity: str) -> Summary:
        return self.row.summaries[self.data_set, quantity, self.selection]


def spurious_records(rows: Iterable[SpuriousRow], data_sets: Sequence[DataSet]) -> Table:
    """Return the table for a CSV: a line for each arm, data set and selection."""
    columns: list[Column[_Record]] = [
        *(METHOD, TRANSFER, BUDGET, TOTAL_STEPS, DATA_SET, SELECTED_BY, REPLICATES),
        Column("", (AVERAGE, f"{AVERAGE}_std"), lambda record: Measured(record.summary(AVERAGE), ".3f")),
        Column("", (WORST, f"{WORST}_std"), lambda record: Measured(record.summary(WORST), ".3f")),
        Column("", (f"{WORST}_published",), lambda record: Text(record.arm.published_on(record.data_set))),
    ]
    records = [_Record(row, data_set.name, name) for row in rows for data_set in data_sets for name in SELECTIONS]
    return table_of(columns, records)


def spurious_table(rows: Sequence[SpuriousRow], data_sets: Iterable[DataSet]) -> Table:
    """Return the table for readers: selection `holdout`, a row for each arm; of each data set average and worst group."""
    columns: list[Column[SpuriousRow]] = [METHOD, replace(BUDGET, align="left"), REPLICATES]
    for data_set in data_sets:
        columns += [_average(data_set), _worst(data_set)]
    return Table(
        tuple(columns),
        (section_of(columns, rows),),
        caption=(
            "Accuracy in percent, mean ± standard deviation over n replicates, selection ",
            *(Term(SELECTION), "; published figures, of worst groups, in parentheses."),
        ),
        row_notes=arm_notes(row.arm for row in rows),
    )


def _average(data_set: DataSet) -> Column[SpuriousRow]:
    key = data_set.name, AVERAGE, SELECTION
    return Column(f"{data_set.title}: average", (), lambda row: Measured(row.summaries[key]))


def _worst(data_set: DataSet) -> Column[SpuriousRow]:
    key = data_set.name, WORST, SELECTION
    return Column(
        f"{data_set.title}: worst group",
        (),
        lambda row: Measured(row.summaries[key], aside=row.arm.published_on(data_set.name)),
    )
