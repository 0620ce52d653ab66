"""Build tables of accuracies with a row per arm and a column per data set: table 2, further tables of arms, the grid.

Accuracies are top-1 in percent. A CSV has both selections side by side; tables for readers have a section for each.
"""

import math
from collections.abc import Iterable, Sequence

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.columns import BUDGET, METHOD, REPLICATES, TOTAL_STEPS
from workflow_scripts.timecat.tables.contrasts import (
    NOTHING,
    Comparisons,
    against_section,
    contrast_notes,
    contrast_section,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, DataSet, Row, summarize
from workflow_scripts.timecat.tables.notes import arm_notes, cost_notes, draws_notes, masked_notes, views_note
from workflow_scripts.timecat.tables.reading import Probes, selected_values
from workflow_scripts.timecat.tables.table import (
    Column,
    Measured,
    Numbers,
    Parameters,
    Phrase,
    Section,
    Symbol,
    Table,
    Term,
    Text,
    section_of,
    table_of,
)
from workflow_scripts.timecat.tables.worth import Target, reference_notes, target_notes

# Descriptions of the selections (selection.SELECTIONS) that tables print for readers.
MEANINGS = {
    "paper": "the best evaluation accuracy over all epochs and weight decays, of heads trained on all training rows. "
    "The original code reports this figure, which is selected on the evaluation split",
    "holdout": "the last-epoch evaluation accuracy of the head trained on all training rows, with the weight decay "
    "that has the best last-epoch accuracy on held-out training rows",
}
BOLD = (
    "Bold marks the best mean of a column and all means that cannot be distinguished from it (95 % interval of "
    "the difference, not adjusted for multiple comparisons). Only means with an interval over seeds are considered."
)
NO_BOLD = "No mean is bold, because none has an interval over seeds."
FIELDS = {
    "paper": "{}",
    "holdout": "{}_holdout",
}  # CSV column of each selection's accuracy, a template for the data set's name


def accuracy_rows(probes: Probes, arms: Iterable[Arm], data_sets: Sequence[DataSet]) -> list[AccuracyRow]:
    """Return a row per arm: a Summary by data set and selection. Raise UserError if numbers of replicates differ."""
    rows = []
    for arm in arms:
        summaries = {}
        for data_set in data_sets:
            probe = probes[arm.name, data_set.name]
            for selection in SELECTIONS:
                values = selected_values(probe, selection, f"arm {arm.name!r} on data set {data_set.name!r}")
                summaries[data_set.name, selection] = summarize(values)
        counts = {summary.n for summary in summaries.values()}
        if len(counts) > 1:
            raise UserError(
                f"arm {arm.name!r} has {sorted(counts)} replicates on different data sets; probe it again on all"
            )
        rows.append(Row(arm, counts.pop(), summaries))
    return rows


def accuracy_records(
    rows: Sequence[AccuracyRow], data_sets: Iterable[DataSet], targets: Sequence[Target] = ()
) -> Table:
    """Return the table for a CSV, with both selections side by side.

    targets: data sets with floors, projection, ceiling and verdict, whose reference values become columns.
    """
    columns: list[Column[AccuracyRow]] = []
    for data_set in data_sets:
        columns += _data_set_columns(rows, data_set, tuple(SELECTIONS), frozenset())
        for selection in SELECTIONS:
            columns += _worth_columns(rows, data_set, selection, targets)
    return table_of([*_arm_columns(rows), *columns], rows)


def accuracy_table(
    rows: Sequence[AccuracyRow],
    data_sets: Sequence[DataSet],
    name: str = "timecat",
    compared: Comparisons = NOTHING,
) -> Table:
    """Return the table for readers: a section for each selection, followed by its contrasts."""
    arms = [row.arm for row in rows]
    columns = {selection: _columns(rows, data_sets, (selection,), compared.best) for selection in SELECTIONS}
    sections: list[Section | None] = []
    for selection, own in columns.items():
        sections.append(section_of(own, rows, "selection", selection, MEANINGS[selection]))
        sections += [part(compared, data_sets, selection) for part in (contrast_section, against_section)]
    return Table(
        tuple(columns[next(iter(SELECTIONS))]),
        tuple(section for section in sections if section is not None),
        name,
        caption=(
            "Top-1 accuracy in percent, mean ± standard deviation over ",
            *(Symbol("n"), " replicates (no ± where ", Symbol("n"), " is 1). ", BOLD if compared.best else NO_BOLD),
        ),
        remark=(" The selection is made separately for each replicate.",),
        column_notes=(
            *reference_notes(compared.targets),
            *target_notes(compared.targets),
            *masked_notes(data_sets),
            *draws_notes(data_sets),
            _excess_note(rows, data_sets),
            *contrast_notes(compared),
        ),
        row_notes=(*arm_notes(arms), *cost_notes(arms, compared.baseline)),
        background=(views_note(data_sets, arms),),
    )


def _excess_note(rows: Sequence[AccuracyRow], data_sets: Iterable[DataSet]) -> Phrase:
    """Return a sentence on how much selection `paper`, which uses the evaluation split, exceeds `holdout`."""
    titles = {data_set.name: data_set.title for data_set in data_sets}
    excess = {
        (row.arm.name, name): row.summaries[name, "paper"].mean - row.summaries[name, "holdout"].mean
        for row in rows
        for name in titles
    }
    mean = math.fsum(excess.values()) / len(excess)
    arm, most = max(excess, key=excess.__getitem__)
    return (
        *(
            "Selection ",
            Term("paper"),
            " exceeds ",
            Term("holdout"),
            f" by {mean:.2f} points on average over all cells; the largest difference is ",
        ),
        *(f"{excess[arm, most]:.2f} points (", Term(arm), f" on {titles[most]})."),
    )


def _columns(
    rows: Sequence[AccuracyRow],
    data_sets: Iterable[DataSet],
    selections: tuple[str, ...],
    best: frozenset[tuple[str, str, str]],
) -> list[Column[AccuracyRow]]:
    columns = _arm_columns(rows)
    for data_set in data_sets:
        columns += _data_set_columns(rows, data_set, selections, best)
    return columns


def _arm_columns(rows: Sequence[AccuracyRow]) -> list[Column[AccuracyRow]]:
    columns: list[Column[AccuracyRow]] = [METHOD]
    if any(row.arm.parameters is not None for row in rows):
        columns.append(Column("parameters", ("parameters",), lambda row: Parameters(row.arm.parameters or 0)))
    return [*columns, BUDGET, TOTAL_STEPS, REPLICATES]


def _data_set_columns(
    rows: Sequence[AccuracyRow],
    data_set: DataSet,
    selections: tuple[str, ...],
    best: frozenset[tuple[str, str, str]],
) -> list[Column[AccuracyRow]]:
    """Return a data set's columns: its accuracy under each selection, and published figures if there are any."""
    columns = [_accuracy(data_set, selection, best) for selection in selections]
    if any(row.arm.published_on(data_set.name) for row in rows):
        columns.append(
            Column(
                data_set.title,
                (f"{data_set.name}_published",),
                lambda row: Text(row.arm.published_on(data_set.name)),
                mark="published",
            )
        )
    return columns


def _accuracy(data_set: DataSet, selection: str, best: frozenset[tuple[str, str, str]]) -> Column[AccuracyRow]:
    field, key = FIELDS[selection].format(data_set.name), (data_set.name, selection)

    def value(row: AccuracyRow) -> Measured:
        floor = row.floors.get(key)
        aside = "" if floor is None else f"floor {floor.mean:.1f}"
        return Measured(row.summaries[key], aside=aside, bold=(row.arm.name, *key) in best)

    return Column(
        data_set.title,
        (field, f"{field}_std"),
        value,
        mark="in distribution" if data_set.in_distribution else "",
    )


def _worth_columns(
    rows: Sequence[AccuracyRow], data_set: DataSet, selection: str, targets: Iterable[Target]
) -> list[Column[AccuracyRow]]:
    """Return the columns of a data set's reference values under a selection: floors, projection, ceiling and verdict.

    The list is empty for a data set that has none of them."""
    field, key = FIELDS[selection].format(data_set.name), (data_set.name, selection)
    columns: list[Column[AccuracyRow]] = []
    if any(key in row.floors for row in rows):
        columns.append(
            Column("floor", (f"{field}_floor", f"{field}_floor_std"), lambda row: Measured(row.floors.get(key)))
        )
    target = next((each for each in targets if (each.data_set.name, each.selection) == key), None)
    if target is None:
        return columns
    return [
        *columns,
        Column(
            "",
            (f"{field}_projection", f"{field}_ceiling"),
            lambda row: Numbers((target.projection, target.ceiling), ".2f"),
        ),
        Column("", (f"{field}_verdict",), lambda row: Text(target.verdict)),
    ]
