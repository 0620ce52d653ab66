"""Compute the contrasts of a table (each arm minus its baseline), and present them as a CSV and as sections of a page.

Each row has a kind, an arm, a data set and a selection. Kind `gain` is the arm's accuracy minus the baseline's. Kind
`against` is the arm's accuracy minus that of another arm, which the arm's key `against` names. A table may have rows of
further kinds. Holm's adjustment is made within a selection, over all hypotheses of the table (TESTED) on all data sets
except those that backbones were pretrained on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from workflow_scripts.timecat.measures.contrasts import (
    UNPAIRED,
    Contrast,
    Replicate,
    contrast,
    holm,
    pairs,
    row_error,
    seed_error,
)
from workflow_scripts.timecat.tables.columns import METHOD
from workflow_scripts.timecat.tables.model import Arm, DataSet
from workflow_scripts.timecat.tables.table import (
    Column,
    Count,
    Numbers,
    Phrase,
    Section,
    Shown,
    Table,
    Term,
    Text,
    Value,
    listed,
    printed,
    section_of,
    table_of,
)
from workflow_scripts.timecat.tables.worth import Accuracies, Target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Place: TypeAlias = tuple[str, str, str]  # name of the arm, name of the data set, selection
# Whether each replicate is right on each row, bool [replicates, rows], or each row's influence on another metric.
Hits: TypeAlias = "Mapping[Place, npt.NDArray[np.bool_]] | Mapping[Place, npt.NDArray[np.float64]]"

GAIN = "gain"
AGAINST = "against"  # an arm minus the arm that its key `against` names
ON_TARGET = "on_target"  # an arm minus an arm that is pretrained on the target itself
TESTED = (GAIN, AGAINST, ON_TARGET)  # kinds that are hypotheses; rows of other kinds have no p-value


@dataclass(frozen=True)
class ContrastRow:
    """A contrast of an arm on a data set, under a selection.

    baseline: name of the arm (or description of the value) that is subtracted. row_error: standard error over
    evaluation rows. p_holm: p-value adjusted by Holm's method.
    """

    kind: str
    arm: Arm
    data_set: str
    selection: str
    baseline: str
    contrast: Contrast
    row_error: float | None = None
    p_holm: float | None = None

    @property
    def p(self) -> float | None:
        """Two-sided p-value if the kind is a hypothesis (TESTED), otherwise None."""
        return self.contrast.p if self.kind in TESTED else None


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of a table: contrasts with the baseline, and the cells that cannot be distinguished from the best.

    best: cells for each data set and selection, among those whose mean has an interval over seeds. targets: reference
    values and verdicts of each target.
    """

    baseline: str
    rows: Sequence[ContrastRow]
    best: frozenset[Place]
    targets: Sequence[Target] = ()

    def with_targets(self, targets: Sequence[Target]) -> "Comparisons":
        """Return the comparisons with targets, and with the targets' contrasts appended to the rows."""
        return replace(self, rows=(*self.rows, *worth_rows(targets, self.baseline)), targets=targets)

    def gain(self, arm: str, data_set: str, selection: str) -> ContrastRow | None:
        """Return the contrast of an arm with the baseline, or None if there is none (the baseline itself)."""
        return self.of_kind(GAIN, arm, data_set, selection)

    def of_kind(self, kind: str, arm: str, data_set: str, selection: str) -> ContrastRow | None:
        """Return an arm's contrast of a kind, or None if there is none."""
        where = kind, arm, data_set, selection
        return next((row for row in self.rows if (row.kind, row.arm.name, row.data_set, row.selection) == where), None)


def worth_rows(targets: Iterable[Target], baseline: str) -> list[ContrastRow]:
    """Return the contrasts of arms with untrained networks, on each target.

    Kinds: `floor` is an arm minus the same arm untrained. `floor_gain` is the untrained arm minus the untrained
    baseline. `excess` is the gain minus the gain of untrained networks.
    """
    found = []
    for target in targets:
        where = target.data_set.name, target.selection
        for each in target.comparisons:
            kinds = (
                ("floor", f"{each.arm.name} untrained", each.above_floor),
                ("floor_gain", f"{baseline} untrained", each.floor_gain),
                ("excess", "the gain of untrained networks", each.excess),
            )
            found += [
                ContrastRow(kind, each.arm, *where, other, contrast)
                for kind, other, contrast in kinds
                if contrast is not None
            ]
    return found


NOTHING = Comparisons("", (), frozenset())  # for a table with one arm, or without comparisons


def comparisons(
    accuracies: Accuracies, hits: Hits, arms: Sequence[Arm], data_sets: Sequence[DataSet], baseline: str
) -> Comparisons:
    """Return the comparisons of a table.

    accuracies, hits: replicates' accuracies and hits of every arm on every data set, under all selections.
    """
    selections = dict.fromkeys(selection for _, _, selection in accuracies)
    pairs_of = {
        GAIN: [(arm, baseline) for arm in arms if arm.name != baseline],
        AGAINST: [(arm, other) for arm in arms for other in arm.against],
    }
    rows = [
        contrast_row(accuracies, hits, arm, (data_set.name, selection), other, kind)
        for selection in selections
        for kind, compared in pairs_of.items()
        for arm, other in compared
        for data_set in data_sets
    ]
    best = [
        (arm, data_set.name, selection)
        for data_set in data_sets
        for selection in selections
        for arm in best_arms({arm.name: accuracies[arm.name, data_set.name, selection] for arm in arms})
    ]
    return Comparisons(baseline, adjusted(rows, data_sets), frozenset(best))


def contrast_row(
    accuracies: Accuracies, hits: Hits, arm: Arm, where: tuple[str, str], baseline: str, kind: str = GAIN
) -> ContrastRow:
    """Return the contrast of an arm with a baseline.

    where: (name of the data set, selection).
    """
    own, others = (arm.name, *where), (baseline, *where)
    found = pairs([each.seeds for each in accuracies[own]], [each.seeds for each in accuracies[others]])
    error = row_error(hits[own], hits[others], found)
    return ContrastRow(kind, arm, *where, baseline, contrast(accuracies[own], accuracies[others]), error)


def adjusted(rows: Sequence[ContrastRow], data_sets: Iterable[DataSet]) -> list[ContrastRow]:
    """Return the rows with p-values adjusted by Holm's method within each selection.

    All hypotheses (TESTED) are one family, and each remaining kind is a family. Rows on the source are not adjusted.
    """
    sources = {data_set.name for data_set in data_sets if data_set.in_distribution}
    families: dict[tuple[str, str], dict[int, float]] = {}
    for i, row in enumerate(rows):
        if row.contrast.p is not None and row.data_set not in sources:
            family = "" if row.kind in TESTED else row.kind
            families.setdefault((family, row.selection), {})[i] = row.contrast.p
    found = {i: p for family in families.values() for i, p in zip(family, holm(list(family.values())))}
    return [replace(row, p_holm=found.get(i)) for i, row in enumerate(rows)]


def best_arms(accuracies: Mapping[str, Sequence[Replicate]]) -> list[str]:
    """Return the arm with the highest mean, and the arms whose contrast with it has an interval that includes zero.

    Only arms whose mean has an interval count (no seed may be in all replicates).
    """
    import numpy as np

    means = {}
    for arm, replicates in accuracies.items():
        values = np.array([each.accuracy for each in replicates])
        if seed_error(values, [each.seeds for each in replicates]).variance is not None:
            means[arm] = float(values.mean())
    if not means:
        return []
    first = max(means, key=means.__getitem__)
    return [arm for arm in means if arm == first or _is_level(contrast(accuracies[first], accuracies[arm]))]


def _is_level(found: Contrast) -> bool:
    ends = found.interval
    return found.mean == 0 if ends is None else ends[0] <= 0


# --- the long form ---


def contrast_records(rows: Sequence[ContrastRow]) -> Table:
    """Return the contrasts as a table for a CSV, one line per contrast."""
    columns: list[Column[ContrastRow]] = [
        Column("", ("kind",), lambda row: Text(row.kind)),
        Column("", ("arm",), lambda row: Text(row.arm.name)),
        Column("", ("data_set",), lambda row: Text(row.data_set)),
        Column("", ("selection",), lambda row: Text(row.selection)),
        Column("", ("baseline",), lambda row: Text(row.baseline)),
        Column("", ("mean", "low", "high", "se", "df"), lambda row: Numbers(_estimate(row.contrast), ".3f")),
        Column("", ("p", "p_holm"), lambda row: Numbers((row.p, row.p_holm), ".4g")),
        Column("", ("seeds",), lambda row: Count(row.contrast.seeds)),
        Column("", ("replicates",), lambda row: Count(row.contrast.replicates)),
        Column("", ("row_se",), lambda row: Numbers((row.row_error,), ".3f")),
        Column("", ("interval",), lambda row: Text(row.contrast.method)),
        Column("", ("no_interval_because",), lambda row: Text(row.contrast.reason)),
    ]
    return table_of(columns, rows)


def _estimate(found: Contrast) -> tuple[float | None, ...]:
    return (found.mean, *(found.interval or (None, None)), found.error, found.degrees)


# --- for readers ---


@dataclass(frozen=True)
class Compared(Value):
    """A contrast as readers see it: its mean, followed by its interval and adjusted p, or by its error over rows."""

    row: ContrastRow

    def fields(self) -> tuple[str, ...]:
        return (printed(self.row.contrast.mean, ".3f"),)

    def shown(self) -> Shown:
        found = self.row.contrast
        mean = _signed(found.mean)
        if found.interval is None:
            error = printed(self.row.row_error, ".2f")
            return Shown(mean, aside=f"rows ± {error}" if error else "")
        ends = " to ".join(map(_signed, found.interval))
        return Shown(mean, aside=ends + (f", p {_p_text(self.row.p_holm)}" if self.row.p_holm is not None else ""))


def _signed(number: float) -> str:
    """Return a number with its sign, where a negative one has a minus sign instead of a hyphen."""
    return printed(number, "+.2f").replace("-", "\N{MINUS SIGN}")


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


@dataclass(frozen=True)
class _Line:
    """Contrasts of an arm with a baseline (its name) by data set, under a selection."""

    arm: Arm
    baseline: str
    by_data_set: dict[str, ContrastRow]

    @property
    def seeds(self) -> str:
        return _range([row.contrast.seeds for row in self.by_data_set.values()])

    @property
    def replicates(self) -> str:
        return _range([row.contrast.replicates for row in self.by_data_set.values()])


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def shown_contrast(row: ContrastRow | None) -> Value:
    """Return a contrast as a value of a table, or an empty text for None."""
    return Text("") if row is None else Compared(row)


def contrast_section(
    found: Comparisons, data_sets: Sequence[DataSet], selection: str, kind: str = GAIN, meaning: str = ""
) -> Section | None:
    """Return a section for readers with the contrasts of a kind under a selection, or None if there is none.

    It has a line per arm and a column per data set. meaning: description of the contrasts (default: accuracy minus
    the baseline's accuracy).
    """
    meaning = meaning or f"accuracy minus that of {found.baseline}, in percentage points"
    return _section_of(_lines(found, kind, selection), data_sets, [METHOD], ("contrasts", selection, meaning))


def against_section(found: Comparisons, data_sets: Sequence[DataSet], selection: str) -> Section | None:
    """Return a section for readers with the contrasts of kind `against`, a line per pair, or None if there is none."""
    heads: list[Column[_Line]] = [METHOD, Column("compared with", (), lambda line: Text(line.baseline), align="left")]
    meaning = "accuracy minus that of the arm in the second column, in percentage points"
    return _section_of(_lines(found, AGAINST, selection), data_sets, heads, ("further contrasts", selection, meaning))


def _lines(found: Comparisons, kind: str, selection: str) -> list[_Line]:
    lines: dict[tuple[str, str], _Line] = {}
    for row in found.rows:
        if (row.kind, row.selection) == (kind, selection):
            line = lines.setdefault((row.arm.name, row.baseline), _Line(row.arm, row.baseline, {}))
            line.by_data_set[row.data_set] = row
    return list(lines.values())


def _section_of(
    lines: Sequence[_Line],
    data_sets: Sequence[DataSet],
    heads: Sequence[Column[_Line]],
    described: tuple[str, str, str],
) -> Section | None:
    """Return lines as a section, or None if there is none.

    heads: the columns that name the compared arms. described: kind, name and meaning of the section.
    """
    if not lines:
        return None
    columns = [
        *heads,
        Column("seeds", (), lambda line: Text(line.seeds)),
        Column("n", (), lambda line: Text(line.replicates)),
        *map(_of_data_set, data_sets),
    ]
    return replace(section_of(columns, lines, *described), columns=tuple(columns))


def _of_data_set(data_set: DataSet) -> Column[_Line]:
    return Column(
        data_set.title,
        (),
        lambda line: Compared(line.by_data_set[data_set.name]),
        mark="in distribution" if data_set.in_distribution else "",
    )


def contrast_notes(found: Comparisons, family: str = "") -> tuple[Phrase, ...]:
    """Return notes on how intervals of contrasts are made, and on arms that have no interval or are not paired.

    family: the contrasts over which p-values are adjusted (default: all hypotheses on targets)."""
    tested = [row for row in found.rows if row.kind in TESTED]
    if not tested:
        return ()
    paired, more = (
        "each replicate of an arm is compared with the mean of the baseline's replicates that use only its seeds "
        "(or the reverse, if the baseline has more members)",
        "",
    )
    if any(row.kind == AGAINST for row in tested):
        paired = (
            "each replicate of the arm with more members is compared with the mean of the other arm's replicates that "
            "use only its seeds"
        )
        more = "including the further contrasts and "
    family = family or f"all arms and targets of a selection, {more}excluding the source"
    notes: list[Phrase] = [
        (
            f"Contrasts are paired by seeds: {paired}. A contrast can therefore differ from the difference of the two "
            "means. Parentheses after a contrast give its 95 % interval over seeds (delete-one-seed jackknife, t "
            "distribution) and the two-sided p of the same t statistic, adjusted by Holm's method over "
            f"{family}. Where there is no such interval, they give the standard error over evaluation rows alone "
            "(rows ±), which does not include the variation between seeds.",
        )
    ]
    notes += _without_interval(tested)
    unpaired = _arms_by(tested, lambda row: row.baseline if row.contrast.method == UNPAIRED else "")
    said = " to be paired, so they are compared as two independent samples."
    return (
        *notes,
        *(
            (*listed(names), ": too few seeds in common with ", Term(baseline), said)
            for baseline, names in unpaired.items()
        ),
    )


def _without_interval(rows: Sequence[ContrastRow]) -> list[Phrase]:
    """Return a note for each reason why arms have no interval in any contrast, and for arms that lack only some."""
    everywhere, somewhere = dict[str, list[str]](), list[Phrase]()
    for reason, names in _arms_by(rows, lambda row: row.contrast.reason).items():
        said = f": no interval over seeds ({reason})."
        for name in names:
            own = [row for row in rows if row.arm.name == name]
            if all(row.contrast.reason == reason for row in own):
                everywhere.setdefault(said, []).append(name)
            else:
                somewhere += [(*where, said) for where in _places(own, reason)]
    return [*((*listed(names), said) for said, names in everywhere.items()), *somewhere]


def _places(rows: Sequence[ContrastRow], reason: str) -> list[Phrase]:
    """Return phrases that name an arm's contrasts (``rows``) without an interval, for one reason.

    A phrase names the data sets, unless the contrast lacks the interval on all of them.
    """
    pairs_of: dict[str, dict[str, bool]] = {}
    for row in rows:
        lacking = pairs_of.setdefault(row.baseline, {})
        lacking[row.data_set] = lacking.get(row.data_set, False) or row.contrast.reason == reason
    found: list[Phrase] = []
    for baseline, lacking in pairs_of.items():
        minus: Phrase = (" minus ", Term(baseline)) if len(pairs_of) > 1 else ()
        names = [name for name, lacks in lacking.items() if lacks]
        where: Phrase = (" on ", *listed(names)) if names != list(lacking) else ()
        found += [(Term(rows[0].arm.name), *minus, *where)] if names else []
    return found


def _arms_by(rows: Iterable[ContrastRow], reason: Callable[[ContrastRow], str]) -> dict[str, list[str]]:
    """Return the names of arms by the text that ``reason`` returns for their rows; empty texts are left out."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if text := reason(row):
            found.setdefault(text, {})[row.arm.name] = None
    return {text: list(names) for text, names in found.items()}
