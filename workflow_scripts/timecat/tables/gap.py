"""Build tables of gaps: metric of each transferred arm minus metric of direct training, component by component.

Section 2 of the paper (Yang, Zhang, Bottou 2025) compares a network pretrained on a mixture, and transferred to one of
its components, with the same network trained on that component alone. The gap is the metric of the arm minus the
metric of direct training, and is negative where transfer is worse. A direct arm differs from pretraining in optimiser
and training length. An arm that is pretrained on each component itself does not. So the data alone explain its
difference from an arm with as many members and steps that is pretrained on the mixture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Replicate
from workflow_scripts.timecat.measures.metrics import INFLUENCES, METRICS
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import MEANINGS
from workflow_scripts.timecat.tables.columns import BUDGET, METHOD, REPLICATES, SELECTED_BY, TOTAL_STEPS, TRANSFER
from workflow_scripts.timecat.tables.contrasts import (
    GAIN,
    ON_TARGET,
    Comparisons,
    Place,
    adjusted,
    contrast_notes,
    contrast_row,
    contrast_section,
)
from workflow_scripts.timecat.tables.model import DIRECT, AccuracyRow, Arm, DataSet, Interval
from workflow_scripts.timecat.tables.notes import arm_notes, draws_notes
from workflow_scripts.timecat.tables.predicted import (
    SELECTION,
    Floats,
    Measure,
    Measurement,
    Measurements,
    Predicted,
    Record,
    mean_of,
    shown,
    worth_columns,
)
from workflow_scripts.timecat.tables.table import (
    Column,
    Difference,
    Phrase,
    Section,
    Table,
    Text,
    listed,
    section_of,
    table_of,
)
from workflow_scripts.timecat.tables.worth import References, Target, reference_notes, target_notes, targets_of

MEAN = DataSet("mean", "mean", in_distribution=False)  # the column of the mean over components
FAMILY = "all contrasts of a selection, including those of the mean over components"


def measure_by(metric: str) -> Measure:
    """Return the function that measures a metric on a component."""

    def measure(component: str, found: Predicted) -> dict[str, Measurement]:
        own = found.labels, found.predicted
        return {component: Measurement(METRICS[metric](*own), INFLUENCES[metric](*own))}

    return measure


# --- means over components ---


def with_means(found: Measurements, arms: Iterable[Arm], components: Sequence[str]) -> Measurements:
    """Return the measurements, with measurements of the mean over components added.

    The mean is taken replicate by replicate. Raise UserError if a replicate's seeds differ between components.
    """
    values, influences = dict(found.values), dict(found.influences)
    for arm in arms:
        for selection in SELECTIONS:
            places = [(arm.name, component, selection) for component in components]
            place = arm.name, MEAN.name, selection
            values[place] = _mean([found.values[each] for each in places], arm.name)
            influences[place] = _influences_on_mean([found.influences[each] for each in places])
    return Measurements(values, influences)


def references_with_means(found: References, components: Sequence[str]) -> References:
    """Return the references, with the mean over components added if all components have a reference."""
    floors, projections = dict(found.floors), dict(found.projections)
    for selection in SELECTIONS:
        for arm in {name for name, _, _ in found.floors}:
            own = [found.floors.get((arm, component, selection)) for component in components]
            if all(each is not None for each in own):
                floors[arm, MEAN.name, selection] = _mean([each for each in own if each is not None], arm)
        levels = [found.projections.get((component, selection)) for component in components]
        if all(each is not None for each in levels):
            projections[MEAN.name, selection] = float(np.mean([each for each in levels if each is not None]))
    return References(floors, projections, found.ceilings)


def _mean(components: Sequence[Sequence[Replicate]], arm: str) -> list[Replicate]:
    """Return the mean over components of each replicate, or raise UserError if components differ in seeds."""
    if len({tuple(each.seeds for each in own) for own in components}) > 1:
        raise UserError(f"arm {arm!r} has different replicates on some components; delete its results and run again")
    return [
        Replicate(replicates[0].seeds, float(np.mean([each.accuracy for each in replicates])))
        for replicates in zip(*components, strict=True)
    ]


def _influences_on_mean(components: Sequence[Floats]) -> Floats:
    """Return the influences of all components' rows on the mean over components, [replicates, rows of all]."""
    rows = sum(own.shape[1] for own in components)
    return np.concatenate([own * rows / (len(components) * own.shape[1]) for own in components], axis=1)


# --- comparisons ---


def baselines_of(arm: Arm, arms: Sequence[Arm]) -> dict[str, Arm]:
    """Return the arms that an arm is compared with, by kind of contrast.

    GAIN: a direct arm. ON_TARGET: an arm that is pretrained on each component itself. A direct arm is not compared, and
    an arm that is pretrained on each component is compared only with a direct arm.
    """
    direct = [other for other in arms if other.transfer == DIRECT]
    own = [other for other in arms if other.on_target]
    if not direct:
        raise UserError("a table of gaps needs an arm with `transfer: direct`; add one to its block of the config")
    if arm.transfer == DIRECT:
        return {}
    if arm.on_target or not own:
        return {GAIN: _like(arm, direct)}
    return {GAIN: _like(arm, direct), ON_TARGET: _like(arm, own)}


def _like(arm: Arm, others: Sequence[Arm]) -> Arm:
    """Return the arm of ``others`` that is most like an arm.

    It is the first with as many members and steps, else the first with as many members, else the first.
    """
    alike = [other for other in others if other.members == arm.members]
    return next((other for other in alike if other.steps == arm.steps), [*alike, *others][0])


def gap_comparisons(
    found: Measurements, arms: Sequence[Arm], columns: Sequence[DataSet], references: References
) -> Comparisons:
    """Return the contrasts of all arms, and the reference values of targets.

    columns: components and MEAN. The ceiling of a component is the best mean of the arms that are trained on it alone.
    It is given if there are floors or projections.
    """
    baselines = {arm.name: baselines_of(arm, arms) for arm in arms}
    rows = [
        contrast_row(found.values, found.influences, arm, (column.name, selection), baseline.name, kind)
        for selection in SELECTIONS
        for kind in (GAIN, ON_TARGET)
        for arm in arms
        if (baseline := baselines[arm.name].get(kind)) is not None
        for column in columns
    ]
    direct = next(arm.name for arm in arms if arm.transfer == DIRECT)
    compared = Comparisons(direct, adjusted(rows, columns), frozenset())
    if references.floors or references.projections:
        references = replace(references, ceilings=_ceilings(found, arms, columns))
    return compared.with_targets(targets_of(found.values, arms, columns, references, direct))


def _ceilings(found: Measurements, arms: Iterable[Arm], columns: Iterable[DataSet]) -> dict[tuple[str, str], float]:
    own = [arm.name for arm in arms if arm.transfer == DIRECT or arm.on_target]
    places: list[Place] = [(own[0], column.name, selection) for column in columns for selection in SELECTIONS]
    return {place[1:]: max(mean_of(found.values[arm, *place[1:]]) for arm in own) for place in places}


# --- output ---


def gap_records(rows: Iterable[AccuracyRow], columns: Sequence[DataSet], metric: str, compared: Comparisons) -> Table:
    """Return the table for a CSV, a line for each arm, component (or MEAN) and selection."""

    def gap(record: Record) -> Difference:
        found = compared.gain(record.arm.name, record.data_set, record.selection)
        if found is None:
            return Difference(None)
        ends = found.contrast.interval or (None, None)
        return Difference(Interval(found.contrast.mean, *ends), ".3f")

    def baseline(record: Record) -> Text:
        found = compared.gain(record.arm.name, record.data_set, record.selection)
        return Text("" if found is None else found.baseline)

    fields: list[Column[Record]] = [
        *(METHOD, TRANSFER, BUDGET, TOTAL_STEPS),
        Column("", ("component",), lambda record: Text(record.data_set)),
        *(SELECTED_BY, REPLICATES),
        Column("", (metric, f"{metric}_std"), lambda record: record.measured(record.data_set)),
        *worth_columns(compared.targets, "", lambda record: record.data_set),
        Column("", ("minus_direct", "minus_direct_low", "minus_direct_high"), gap),
        Column("", ("compared_with",), baseline),
        Column("", (f"{metric}_published",), lambda record: Text(record.arm.published_on(record.data_set))),
    ]
    records = [Record(row, column.name, selection) for row in rows for column in columns for selection in SELECTIONS]
    return table_of(fields, records)


def gap_table(
    rows: Sequence[AccuracyRow], columns: Sequence[DataSet], metric_title: str, compared: Comparisons
) -> Table:
    """Return the table for readers under selection `holdout`: a row per arm, a column per component, and contrasts."""
    heads: list[Column[AccuracyRow]] = [METHOD, replace(BUDGET, align="left"), REPLICATES]
    heads += [_column(each) for each in columns]
    sections = [
        section_of(heads, rows, "selection", SELECTION, MEANINGS[SELECTION]),
        *(_contrasts(compared, columns, kind) for kind in (GAIN, ON_TARGET)),
    ]
    return Table(
        tuple(heads),
        tuple(section for section in sections if section is not None),
        caption=(
            f"{metric_title}, mean ± standard deviation over n replicates. Published figures are in parentheses.",
        ),
        column_notes=(
            *reference_notes(component_targets(compared)),
            *target_notes(component_targets(compared)),
            *draws_notes(columns),
            *_baseline_notes(compared),
            *contrast_notes(compared, FAMILY),
        ),
        row_notes=arm_notes(row.arm for row in rows),
    )


def component_targets(compared: Comparisons) -> list[Target]:
    """Return the targets that are components. The mean over components is not a target."""
    return [target for target in compared.targets if target.data_set != MEAN]


def _column(column: DataSet) -> Column[AccuracyRow]:
    return Column(column.title, (), lambda row: shown(row, column.name, row.arm.published_on(column.name)))


def _contrasts(compared: Comparisons, columns: Sequence[DataSet], kind: str) -> Section | None:
    names = ", ".join(_baselines(compared, kind))
    what = {GAIN: "direct training", ON_TARGET: "pretraining on the component itself"}[kind]
    return contrast_section(
        compared, columns, SELECTION, kind, f"metric minus that of {what} ({names}), in percentage points"
    )


def _baselines(compared: Comparisons, kind: str) -> list[str]:
    return list(dict.fromkeys(row.baseline for row in compared.rows if row.kind == kind))


def _baseline_notes(compared: Comparisons) -> tuple[Phrase, ...]:
    """Return the note on arms that are pretrained on each component itself, or nothing if there are none."""
    names = _baselines(compared, ON_TARGET)
    if not names:
        return ()
    return (
        (
            *(
                "Direct training differs from pretraining in optimiser and training length. Pretraining on the "
                "component itself (",
                *listed(names),
                ") has the optimiser and length of pretraining on the mixture. An arm pretrained on the component ",
            ),
            "therefore differs from an arm pretrained on the mixture for as many members and steps in the data alone.",
        ),
    )
