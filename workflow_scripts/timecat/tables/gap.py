"""Direct or transferred? How far each transferred arm stays behind direct training, component by component.

Section 2 of the paper (Yang, Zhang, Bottou 2025) compares a network pretrained on a mixture, and transferred to one of its
components, with the same network trained on that component alone. The gap is the metric of direct training minus that of
the arm: positive where something was lost in pretraining.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.metrics import METRICS
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.columns import BUDGET, METHOD, REPLICATES, SELECTED_BY, TOTAL_STEPS, TRANSFER
from workflow_scripts.timecat.tables.model import DIRECT, Arm, DataSet, Interval, Summary, summarize
from workflow_scripts.timecat.tables.notes import arm_notes
from workflow_scripts.timecat.tables.table import (
    Column,
    Difference,
    Measured,
    Table,
    Term,
    Text,
    listed,
    section_of,
    table_of,
)

Values = dict[str, list[float]]  # selection -> replicate by replicate

MEAN = "mean"  # what the mean over components is called where they have names
LEVEL = 0.95  # of intervals
SELECTION = "holdout"  # which readers and the figure are shown: it does not look at the evaluation split
COLUMNS = ("selection", "replicate", "label", "predicted")


@dataclass(frozen=True)
class GapRow:
    """An arm on a component (or MEAN): Summary and gap by selection; no gap of a direct arm itself.

    A gap is direct minus transferred. reference: the name of the direct arm that it is compared with; "" of a direct arm.
    """

    arm: Arm
    component: str
    summaries: dict[str, Summary]
    gaps: dict[str, Interval]
    reference: str = ""


def read_values(path: str | PathLike[str], metric: str) -> Values:
    """Return the metric of one arm's predictions on one component, in percent."""
    columns = read_predictions(path, COLUMNS)
    values = {}
    for selection in SELECTIONS:
        chosen = columns["selection"] == selection
        if not chosen.any():
            raise UserError(f"{path}: has no row of selection {selection}; delete it and run again")
        replicates = np.unique(columns["replicate"][chosen])
        own = [chosen & (columns["replicate"] == replicate) for replicate in replicates]
        values[selection] = [METRICS[metric](columns["label"][rows], columns["predicted"][rows]) for rows in own]
    return values


def welch(direct: list[float], transferred: list[float]) -> Interval:
    """Return the mean difference and Welch's interval for it, for replicates of two arms that are independent.

    (Where arms share seeds, a direct network starts from the weights that the pretrained one started from, and nothing else
    is common; that is neglected.) Source: Welch 1947, with Satterthwaite's degrees of freedom.
    """
    both = summarize(direct), summarize(transferred)
    difference = both[0].mean - both[1].mean
    stds = [one.std for one in both if one.std is not None]
    if len(stds) < 2:
        return Interval(difference, None, None)
    shares = [std**2 / one.n for std, one in zip(stds, both)]
    error = math.sqrt(sum(shares))
    if error == 0:
        return Interval(difference, difference, difference)
    from scipy.stats import t

    freedom = sum(shares) ** 2 / sum(share**2 / (one.n - 1) for share, one in zip(shares, both))
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Interval(difference, difference - half, difference + half)


def reference_of(arm: Arm, arms: Sequence[Arm]) -> Arm:
    """Return the direct arm that an arm is compared with: of as many members where there is one, else the first."""
    direct = [other for other in arms if other.transfer == DIRECT]
    if not direct:
        raise UserError("a table of gaps needs an arm with `transfer: direct`; add one to its block of the config")
    return next((other for other in direct if other.members == arm.members), direct[0])


def gap_rows(values: Mapping[tuple[str, str], Values], arms: Sequence[Arm], components: Sequence[str]) -> list[GapRow]:
    """Return what the table says: arm after arm, each on all components and then on their MEAN.

    values: by (arm's name, component). The mean over components is taken replicate by replicate, since one replicate is of
    the same checkpoints on all of them.
    """
    values = dict(values)
    for arm in arms:
        own = [values[arm.name, component] for component in components]
        counts = {len(of[selection]) for of in own for selection in SELECTIONS}
        if len(counts) > 1:
            raise UserError(f"arm {arm.name!r} has {sorted(counts)} replicates on different components; run it anew")
        values[arm.name, MEAN] = {
            selection: np.mean([of[selection] for of in own], axis=0).tolist() for selection in SELECTIONS
        }
    rows = []
    for arm in arms:
        reference = reference_of(arm, arms)
        for component in (*components, MEAN):
            transferred, direct = values[arm.name, component], values[reference.name, component]
            summaries = {name: summarize(transferred[name]) for name in SELECTIONS}
            if arm.transfer == DIRECT:
                rows.append(GapRow(arm, component, summaries, {}))
            else:
                gaps = {name: welch(direct[name], transferred[name]) for name in SELECTIONS}
                rows.append(GapRow(arm, component, summaries, gaps, reference.name))
    return rows


def gap_records(rows: Iterable[GapRow], metric: str) -> Table:
    """Return the table for a CSV: a line for each arm, component and selection."""
    columns: list[Column[_Record]] = [
        *(METHOD, TRANSFER, BUDGET, TOTAL_STEPS),
        Column("", ("component",), lambda record: Text(record.row.component)),
        *(SELECTED_BY, REPLICATES),
        Column("", (metric, f"{metric}_std"), lambda record: Measured(record.summary, ".3f")),
        Column(
            "",
            ("gap", "gap_low", "gap_high"),
            lambda record: Difference(record.row.gaps.get(record.selection), ".3f"),
        ),
        Column("", ("compared_with",), lambda record: Text(record.row.reference)),
        Column("", (f"{metric}_published",), lambda record: Text(record.arm.published_on(record.row.component))),
    ]
    return table_of(columns, [_Record(row, selection) for row in rows for selection in row.summaries])


@dataclass(frozen=True)
class _Record:
    """A row under one selection."""

    row: GapRow
    selection: str

    @property
    def arm(self) -> Arm:
        return self.row.arm

    @property
    def summary(self) -> Summary:
        return self.row.summaries[self.selection]

    @property
    def replicates(self) -> int:
        return self.summary.n


@dataclass(frozen=True)
class _OnComponents:
    """An arm's rows by component, under SELECTION."""

    by_component: dict[str, GapRow]

    @property
    def mean(self) -> GapRow:
        return self.by_component[MEAN]

    @property
    def arm(self) -> Arm:
        return self.mean.arm

    @property
    def replicates(self) -> int:
        return self.mean.summaries[SELECTION].n

    def measured(self, component: str) -> Measured:
        """Return the metric on a component, with the published figure."""
        summary = self.by_component[component].summaries[SELECTION]
        return Measured(summary, aside=self.arm.published_on(component))


def gap_table(rows: Iterable[GapRow], data_sets: Iterable[DataSet], metric_title: str) -> Table:
    """Return the table for readers: selection `holdout`, a row for each arm, a column for each component."""
    by_arm: dict[str, dict[str, GapRow]] = {}
    for row in rows:
        by_arm.setdefault(row.arm.name, {})[row.component] = row
    lines = [_OnComponents(of) for of in by_arm.values()]
    columns: list[Column[_OnComponents]] = [METHOD, replace(BUDGET, align="left"), REPLICATES]
    columns += [_component(each.name, each.title) for each in data_sets]
    columns.append(_component(MEAN, "mean"))
    columns.append(Column("gap (95 %)", (), lambda line: Difference(line.mean.gaps.get(SELECTION))))
    references = listed(dict.fromkeys(line.mean.reference for line in lines if line.mean.reference))
    return Table(
        tuple(columns),
        (section_of(columns, lines),),
        caption=(
            f"{metric_title}, mean ± standard deviation over n replicates, selection ",
            *(Term(SELECTION), "; published figures in parentheses."),
        ),
        column_notes=(
            ("Gap: direct (", *references, ") minus transferred, mean over components, with Welch's 95 % interval."),
        ),
        row_notes=arm_notes(line.arm for line in lines),
    )


def _component(name: str, title: str) -> Column[_OnComponents]:
    return Column(title, (), lambda line: line.measured(name))
