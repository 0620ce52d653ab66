"""Build the table of spurious features: average and worst-group accuracy of every arm on data sets with groups.

A group is a label and a value of each group column of the evaluation index. The average is over all evaluation rows.
Each quantity on a data set is a separate column, named `{data set}.{quantity}`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.metrics import accuracy, accuracy_influences
from workflow_scripts.timecat.probing.groups import group_accuracies
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import MEANINGS
from workflow_scripts.timecat.tables.columns import (
    BUDGET,
    DATA_SET,
    METHOD,
    REPLICATES,
    SELECTED_BY,
    TOTAL_STEPS,
    TRANSFER,
)
from workflow_scripts.timecat.tables.contrasts import Comparisons, contrast_notes, contrast_section
from workflow_scripts.timecat.tables.model import AccuracyRow, DataSet
from workflow_scripts.timecat.tables.notes import arm_notes, draws_notes
from workflow_scripts.timecat.tables.predicted import (
    SELECTION,
    Floats,
    Measure,
    Measurement,
    Predicted,
    Record,
    shown,
    worth_columns,
)
from workflow_scripts.timecat.tables.table import Column, Phrase, Table, Text, Value, section_of, table_of
from workflow_scripts.timecat.tables.worth import reference_notes, target_notes

AVERAGE, WORST = "average", "worst_group"
TITLES = {AVERAGE: "average", WORST: "worst group"}
FAMILY = "all contrasts of a selection, for both average and worst-group accuracy"

Groups = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # row number and group of each evaluation row of an index


def column_name(data_set: str, quantity: str) -> str:
    """Return the name of the column of a quantity on a data set."""
    return f"{data_set}.{quantity}"


def columns_of(data_sets: Iterable[DataSet]) -> list[DataSet]:
    """Return the columns of a table.

    Holm's adjustment includes the columns of the source, because the source is a target here.
    """
    return [
        replace(
            each,
            name=column_name(each.name, quantity),
            title=f"{each.title}: {title}",
            in_distribution=False,
            views=None,
        )
        for each in data_sets
        for quantity, title in TITLES.items()
    ]


def measure_by(groups: Mapping[str, Groups]) -> Measure:
    """Return the function that measures both quantities on a data set.

    groups: row numbers and groups of the evaluation rows, by the data set's name.
    """

    def measure(data_set: str, found: Predicted) -> dict[str, Measurement]:
        rows, codes = groups[data_set]
        if not np.array_equal(found.rows, rows):
            raise UserError(
                f"predictions on {data_set!r} do not match the rows of its index; delete the predictions and rerun"
            )
        own = found.labels, found.predicted
        hits = found.labels == found.predicted
        worst = Measurement(float(group_accuracies(hits, codes).min()), worst_group_influences(hits, codes))
        return {
            column_name(data_set, AVERAGE): Measurement(accuracy(*own), accuracy_influences(*own)),
            column_name(data_set, WORST): worst,
        }

    return measure


def worst_group_influences(hits: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]) -> Floats:
    """Return the influences of rows (measures.metrics) on the worst group's accuracy, taking that group as known."""
    in_worst = groups == int(group_accuracies(hits, groups).argmin())
    deviations = hits - hits[in_worst].mean()
    influences: Floats = np.where(in_worst, deviations * len(hits) / in_worst.sum(), 0.0)
    return influences


def spurious_records(rows: Iterable[AccuracyRow], data_sets: Sequence[DataSet], compared: Comparisons) -> Table:
    """Return the table for a CSV, a line for each arm, data set and selection."""
    columns: list[Column[Record]] = [*(METHOD, TRANSFER, BUDGET, TOTAL_STEPS, DATA_SET, SELECTED_BY, REPLICATES)]
    for quantity in TITLES:
        columns += _fields(quantity, compared)
    columns.append(Column("", (f"{WORST}_published",), lambda record: Text(record.arm.published_on(record.data_set))))
    records = [Record(row, data_set.name, name) for row in rows for data_set in data_sets for name in SELECTIONS]
    return table_of(columns, records)


def _fields(quantity: str, compared: Comparisons) -> list[Column[Record]]:
    """Return the columns of a quantity: its mean and standard deviation, and its reference values."""

    def column(record: Record) -> str:
        return column_name(record.data_set, quantity)

    measured: Column[Record] = Column("", (quantity, f"{quantity}_std"), lambda record: record.measured(column(record)))
    return [measured, *worth_columns(compared.targets, f"{quantity}_", column)]


def spurious_table(rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], compared: Comparisons) -> Table:
    """Return the table for readers under selection `holdout`: a row per arm, with contrasts.

    Each data set has two columns, average and worst-group accuracy.
    """
    columns: list[Column[AccuracyRow]] = [METHOD, replace(BUDGET, align="left"), REPLICATES]
    for data_set in data_sets:
        columns += [_column(data_set, quantity) for quantity in TITLES]
    sections = [
        section_of(columns, rows, "selection", SELECTION, MEANINGS[SELECTION]),
        contrast_section(compared, columns_of(data_sets), SELECTION),
    ]
    return Table(
        tuple(columns),
        tuple(section for section in sections if section is not None),
        caption=(
            "Accuracy in percent, mean ± standard deviation over n replicates. Published figures of the worst group "
            "are in parentheses.",
        ),
        column_notes=(
            *reference_notes(compared.targets),
            *target_notes(compared.targets),
            *draws_notes(data_sets),
            *contrast_notes(compared, FAMILY),
            *_worst_notes(compared),
        ),
        row_notes=arm_notes(row.arm for row in rows),
    )


def _column(data_set: DataSet, quantity: str) -> Column[AccuracyRow]:
    def value(row: AccuracyRow) -> Value:
        published = row.arm.published_on(data_set.name) if quantity == WORST else ""
        return shown(row, column_name(data_set.name, quantity), published)

    return Column(f"{data_set.title}: {TITLES[quantity]}", (), value)


def _worst_notes(compared: Comparisons) -> tuple[Phrase, ...]:
    if all(row.contrast.interval is not None for row in compared.rows):
        return ()
    return (("The standard error of worst-group accuracy over evaluation rows treats the worst group as known.",),)
