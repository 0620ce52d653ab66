"""Build the table of accuracy against dimensions: arms with all of their features, and reduced to several widths.

A row is an arm with one reduction, or with all features. A reduced arm is compared with the baseline reduced by the
same method to the same width, and an arm with all features with the baseline with all features. Readers see a line per
arm and method and a column per width, in a section for each selection and data set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from workflow_scripts.timecat.backbones.sizes import backbone_size
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import MEANINGS, accuracy_records
from workflow_scripts.timecat.tables.contrasts import (
    Comparisons,
    ContrastRow,
    Hits,
    adjusted,
    comparisons,
    contrast_notes,
    shown_contrast,
    worth_rows,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, DataSet, Reduction
from workflow_scripts.timecat.tables.notes import LOWER_BOUND, REDUCED_BY, draws_notes, masked_notes, views_note
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks
from workflow_scripts.timecat.tables.table import (
    Budget,
    Column,
    Count,
    Measured,
    Phrase,
    Section,
    Symbol,
    Table,
    Term,
    Text,
    Value,
    section_of,
)
from workflow_scripts.timecat.tables.worth import Accuracies, References, reference_notes, targets_of

ALL = None  # the reduction of an arm that keeps all of its features


@dataclass(frozen=True, kw_only=True)
class ArmOfWidth(ArmOfNetworks):
    """An arm with all of its features, or a reduced arm.

    of: name of the arm with all features.
    """

    of: str

    @property
    def features_of_member(self) -> int:
        """Number of features of a member, which does not depend on the size of images."""
        return backbone_size(self.settings, 32).dimension

    @property
    def dimensions(self) -> int:
        """Number of features that the arm's probe sees."""
        return self.members * self.features_of_member if self.reduce is None else self.reduce.dimensions


@dataclass(frozen=True)
class Curve:
    """Rows of one arm that is reduced by one method, by number of dimensions.

    method: method of the reduction, or None for the arm with all of its features.
    """

    arm: ArmOfWidth
    method: str | None
    rows: dict[int, AccuracyRow]


def of(row: AccuracyRow) -> ArmOfWidth:
    """Return the arm of a row as an ArmOfWidth."""
    assert isinstance(row.arm, ArmOfWidth)
    return row.arm


def curves_of(rows: Sequence[AccuracyRow]) -> list[Curve]:
    """Return rows grouped into curves by arm and method, in the order of the rows."""
    found: dict[tuple[str, str | None], Curve] = {}
    for row in rows:
        arm = of(row)
        method = None if arm.reduce is None else arm.reduce.method
        found.setdefault((arm.of, method), Curve(arm, method, {})).rows[arm.dimensions] = row
    return list(found.values())


def compared_alike(
    accuracies: Accuracies,
    hits: Hits,
    arms: Sequence[ArmOfWidth],
    data_sets: Sequence[DataSet],
    references: References,
    baseline: str,
) -> Comparisons:
    """Return the contrasts of each arm with the equally reduced baseline, adjusted over all of them.

    baseline: name of the baseline with all features.
    """
    groups: dict[Reduction | None, list[ArmOfWidth]] = {}
    for arm in arms:
        groups.setdefault(arm.reduce, []).append(arm)
    gains: list[ContrastRow] = []
    others: list[ContrastRow] = []
    for group in groups.values():
        base = next((arm.name for arm in group if arm.of == baseline), None)
        if base is None:  # the baseline has fewer features than this width
            continue
        gains += comparisons(accuracies, hits, group, data_sets, base).rows
        others += worth_rows(targets_of(accuracies, group, data_sets, references, base), base)
    targets = targets_of(accuracies, groups.get(ALL, []), data_sets, references, baseline)
    return Comparisons(baseline, [*adjusted(gains, data_sets), *others], frozenset(), targets)


# --- the CSV ---


def width_records(rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], found: Comparisons) -> Table:
    """Return the table of accuracies for a CSV, with columns arm, reduced_by and dimensions after the first."""
    table = accuracy_records(rows, data_sets, found.targets)
    (section,) = table.sections
    added: list[Column[AccuracyRow]] = [
        Column("", ("arm",), lambda row: Text(of(row).of)),
        Column("", ("reduced_by",), lambda row: Text("" if row.arm.reduce is None else row.arm.reduce.method)),
        Column("", ("dimensions",), lambda row: Count(of(row).dimensions)),
    ]
    values = tuple(
        (own[0], *(column.value(row) for column in added), *own[1:])
        for row, own in zip(rows, section.rows, strict=True)
    )
    first, *rest = table.columns
    return replace(table, columns=(first, *added, *rest), sections=(replace(section, rows=values),))


# --- for readers ---


def width_table(rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], found: Comparisons, name: str) -> Table:
    """Return the table for readers, with sections for each selection and data set."""
    curves = curves_of(rows)
    widths = sorted({width for curve in curves if curve.method is not None for width in curve.rows})
    sections: list[Section] = []
    for selection in SELECTIONS:
        for data_set in data_sets:
            sections += _sections(curves, widths, data_set, selection, found)
    return Table(
        (),
        tuple(sections),
        name,
        caption=(
            "Top-1 accuracy in percent of probes on features reduced to the number of dimensions at the head of the "
            "column, mean ± standard deviation over ",
            *(Symbol("n"), " replicates."),
        ),
        remark=(" The selection is made separately for each replicate.",),
        column_notes=(
            *_reduction_notes(found),
            *reference_notes(found.targets),
            *masked_notes(data_sets),
            *draws_notes(data_sets),
        ),
        row_notes=contrast_notes(found),
        background=(views_note(data_sets, [row.arm for row in rows]),),
    )


def _reduction_notes(found: Comparisons) -> tuple[Phrase, ...]:
    compared: tuple[Phrase, ...] = (
        (
            "Contrasts compare each arm with ",
            Term(found.baseline),
            " reduced to the same width by the same method; in the last column, both have all of their features. There "
            "is no contrast at a width where the baseline has fewer features. The p-values of all widths and methods "
            "are adjusted together, as one family.",
        ),
    )
    return (
        (
            "The concatenated features of all members are standardised and projected onto the first principal "
            "components or onto random directions. Standardisation and principal components are fitted to the first "
            "view of the training rows that are not held out. Every arm, including the baseline, is reduced in this "
            f"way. An accuracy at a width is {LOWER_BOUND}.",
        ),
        *(compared if found.rows else ()),
        *((f"Selection {name}: {meaning}.",) for name, meaning in MEANINGS.items()),
    )


def _sections(
    curves: Sequence[Curve], widths: Sequence[int], data_set: DataSet, selection: str, found: Comparisons
) -> list[Section]:
    """Return a data set's sections under a selection: accuracies, and contrasts if there are any."""
    key = data_set.name, selection

    def accuracy(row: AccuracyRow | None) -> Value:
        if row is None:
            return Text("")
        floor = row.floors.get(key)
        return Measured(row.summaries[key], aside="" if floor is None else f"floor {floor.mean:.1f}")

    def gain(row: AccuracyRow | None) -> Value:
        return shown_contrast(None if row is None else found.gain(row.arm.name, *key))

    whole = {curve.arm.of: curve for curve in curves if curve.method is None}
    lines = [curve for curve in curves if curve.method is not None]
    where = f"{selection} on {data_set.title}"
    aside = ", in distribution" if data_set.in_distribution else ""
    made = [_section(lines, widths, whole, accuracy, ("selection", where, f"accuracy{aside}"))]
    others = [curve for curve in lines if curve.arm.of != found.baseline]
    if others and found.rows:
        meaning = f"accuracy minus that of {found.baseline} at the same width, in percentage points"
        made.append(_section(others, widths, whole, gain, ("contrasts", where, meaning)))
    return made


def _section(
    curves: Sequence[Curve],
    widths: Sequence[int],
    whole: Mapping[str, Curve],
    value: Callable[[AccuracyRow | None], Value],
    said: tuple[str, str, str],
) -> Section:
    """Return a section with a line for each curve. The first line of each arm has its value with all features, too.

    said: kind, name and meaning of the section."""
    first = {curve.arm.of: curve for curve in reversed(curves)}

    def at_all(curve: Curve) -> Value:
        of_arm = whole[curve.arm.of].rows
        return value(next(iter(of_arm.values())) if first[curve.arm.of] is curve else None)

    columns: list[Column[Curve]] = [
        Column("arm", (), lambda curve: Text(curve.arm.of), align="left"),
        Column("members × steps", (), lambda curve: Budget(curve.arm)),
        Column("reduced by", (), lambda curve: Text(REDUCED_BY[curve.method or ""]), align="left"),
        Column("n", (), lambda curve: Count(next(iter(curve.rows.values())).replicates)),
        *(_at(width, value) for width in widths),
        Column("features", (), lambda curve: Count(whole[curve.arm.of].arm.dimensions)),
        Column("all features", (), at_all),
    ]
    return replace(section_of(columns, curves, *said), columns=tuple(columns))


def _at(width: int, value: Callable[[AccuracyRow | None], Value]) -> Column[Curve]:
    return Column(str(width), (), lambda curve: value(curve.rows.get(width)))
