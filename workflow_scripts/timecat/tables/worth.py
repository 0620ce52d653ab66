"""Judge the targets of a table by their floors and ceilings, and name the targets that are uninformative.

The floor of an arm is the same arm with untrained networks. The ceiling of a target is an accuracy that can be reached
there. A target is uninformative if one of two rules holds:

level  Trained networks are no better than untrained ones: for every arm, the upper limit of trained minus floor is
       below a tenth of ceiling minus floor.
gain   Untrained networks gain as much: for every arm, its gain (arm minus baseline) does not significantly exceed the
       gain of its floor (floor of the arm minus floor of the baseline), which is significantly above zero and explains
       nine tenths of the arm's gain or more.

A target is undecided if an interval includes both zero and a relevant difference, because a difference that is not
significant need not be zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Literal, TypeAlias

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Contrast, Replicate, contrast, difference
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, DataSet, Reference, summarize
from workflow_scripts.timecat.tables.reading import read_cell, selected_replicates
from workflow_scripts.timecat.tables.table import Phrase, Term
from workflow_scripts.timecat.tables.writers.text import phrase_text

Replicates: TypeAlias = Sequence[Replicate]
Accuracies: TypeAlias = Mapping[tuple[str, str, str], Replicates]  # by (arm, data set, selection)
SHOWN = "holdout"  # selection that the notes use, because it does not use the evaluation split
TENTH = 0.1  # share of ceiling minus floor, or of a gain, that must not be due to untrained networks
WARNINGS = {"uninformative": "uninformative", "undecided": "perhaps uninformative"}  # verdicts that figures show
Verdict = Literal["informative", "undecided", "uninformative", "unknown"]


@dataclass(frozen=True)
class References:
    """Reference values that the cells of a table are compared with.

    floors: replicates by (arm, data set, selection). projections, ceilings: percent by (data set, selection).
    """

    floors: Mapping[tuple[str, str, str], Replicates]
    projections: Mapping[tuple[str, str], float]
    ceilings: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Comparison:
    """An arm on a target, compared with its floor and with the baseline.

    accuracy, floor: percent. above_floor: trained minus untrained. gain, floor_gain: arm minus baseline, trained and
    untrained. excess: gain minus floor_gain, as if they were independent. gain, floor_gain and excess are None for the
    baseline.
    """

    arm: Arm
    accuracy: float
    floor: float
    above_floor: Contrast
    gain: Contrast | None = None
    floor_gain: Contrast | None = None
    excess: Contrast | None = None


@dataclass(frozen=True)
class Target:
    """A target of a table under one selection.

    projection, ceiling: percent, or None if there is none.
    """

    data_set: DataSet
    selection: str
    comparisons: tuple[Comparison, ...]
    projection: float | None
    ceiling: float | None

    @property
    def verdict(self) -> Verdict:
        """Verdict on whether the target's accuracies depend on pretraining ("unknown" without floors or intervals)."""
        return max((self.by_level, self.by_gain), key=("unknown", "informative", "undecided", "uninformative").index)

    @property
    def by_level(self) -> Verdict:
        """Verdict of the rule `level`."""
        if self.ceiling is None or not self.comparisons:
            return "unknown"
        found: list[Verdict] = []
        for each in self.comparisons:
            if each.above_floor.interval is None:
                found.append("unknown")
                continue
            low, high = each.above_floor.interval
            least = TENTH * (self.ceiling - each.floor)
            found.append("uninformative" if high < least else "undecided" if low < least else "informative")
        return _least_bad(found)

    @property
    def by_gain(self) -> Verdict:
        """Verdict of the rule `gain`."""
        found: list[Verdict] = []
        for each in self.comparisons:
            if each.gain is None or each.floor_gain is None or each.excess is None:
                continue
            if each.floor_gain.interval is None or each.excess.interval is None:
                found.append("unknown")
                continue
            low, high = each.excess.interval
            if each.floor_gain.interval[0] <= 0 or low > 0:
                found.append("informative")
            else:
                explained = high <= 0 or each.excess.mean < TENTH * max(0.0, each.gain.mean)
                found.append("uninformative" if explained else "undecided")
        return _least_bad(found) if found else "unknown"


def worth_of(targets: Iterable[Target], data_set: DataSet) -> Target | None:
    """Return the target of a data set under the selection SHOWN, or None if the data set is not a target."""
    shown = (target for target in targets if target.selection == SHOWN)
    return next((target for target in shown if target.data_set.name == data_set.name), None)


def _least_bad(found: Iterable[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("informative", "unknown", "undecided", "uninformative")
    return min(found, key=order.index)


def read_references(
    paths: Sequence[str | PathLike[str]], cells: Sequence[Reference], known: Mapping[str, float]
) -> References:
    """Return the reference values of a table.

    known: ceilings from other sources, in percent by data set. Raise UserError if files and cells do not match.
    """
    if len(paths) != len(cells):
        raise UserError(
            f"--references names {len(paths)} files and --reference-cells {len(cells)} cells; give one cell per file"
        )
    floors: dict[tuple[str, str, str], Replicates] = {}
    means: dict[str, dict[tuple[str, str], float]] = {"projection": {}, "ceiling": {}}
    for path, cell in zip(paths, cells, strict=True):
        probe = read_cell(path, cell.members, f"the {cell.kind} of {cell.arm or cell.data_set}")
        for selection in SELECTIONS:
            replicates = selected_replicates(probe, selection, f"{cell.kind} on data set {cell.data_set!r}")
            if cell.kind == "floor":
                floors[cell.arm, cell.data_set, selection] = replicates
            else:
                means[cell.kind][cell.data_set, selection] = _mean(replicates)
    ceilings = means["ceiling"] | {(name, each): percent for name, percent in known.items() for each in SELECTIONS}
    return References(floors, means["projection"], ceilings)


def with_floors(rows: Iterable[AccuracyRow], references: References) -> list[AccuracyRow]:
    """Return the rows with summaries of their floors."""
    return [
        row.with_floors(
            {
                (data_set, selection): summarize([each.accuracy for each in replicates])
                for (arm, data_set, selection), replicates in references.floors.items()
                if arm == row.arm.name
            }
        )
        for row in rows
    ]


def targets_of(
    accuracies: Accuracies, arms: Sequence[Arm], data_sets: Iterable[DataSet], references: References, baseline: str
) -> list[Target]:
    """Return the targets of a table: data sets with a floor, projection or ceiling, each under every selection.

    accuracies: the replicates of every cell by (arm, data set, selection). baseline: name of the arm that the others
    are compared with.
    """
    found = []
    for data_set in data_sets:
        for selection in SELECTIONS:
            key = data_set.name, selection
            known = any((arm.name, *key) in references.floors for arm in arms)
            if not known and key not in references.projections and key not in references.ceilings:
                continue
            compared = _comparisons(accuracies, arms, key, references, baseline)
            found.append(
                Target(data_set, selection, compared, references.projections.get(key), references.ceilings.get(key))
            )
    return found


def _comparisons(
    accuracies: Accuracies, arms: Iterable[Arm], key: tuple[str, str], references: References, baseline: str
) -> tuple[Comparison, ...]:
    base, base_floor = accuracies[baseline, *key], references.floors.get((baseline, *key))
    found = []
    for arm in arms:
        own, floor = accuracies[arm.name, *key], references.floors.get((arm.name, *key))
        if floor is None:
            continue
        described = arm, _mean(own), _mean(floor), contrast(own, floor)
        if arm.name == baseline or base_floor is None:
            found.append(Comparison(*described))
            continue
        gain, floor_gain = contrast(own, base), contrast(floor, base_floor)
        found.append(Comparison(*described, gain, floor_gain, difference(gain, floor_gain)))
    return tuple(found)


def _mean(replicates: Replicates) -> float:
    return summarize([each.accuracy for each in replicates]).mean


# --- notes for readers ---


def reference_notes(targets: Sequence[Target]) -> tuple[Phrase, ...]:
    """Return the notes on floors, projections and ceilings, or nothing if there are none."""
    notes: list[Phrase] = []
    if any(target.comparisons for target in targets):
        notes.append(("Floor: the mean of the same arm with untrained networks (initial weights).",))
    for what, name in (
        ("A probe on a random projection of the pixels reaches ", "projection"),
        ("Ceilings (reference points, not upper limits): ", "ceiling"),
    ):
        found = [
            (target.data_set.title, value)
            for target in targets
            if target.selection == SHOWN and (value := getattr(target, name)) is not None
        ]
        if found:
            notes.append((what, ", ".join(f"{value:.1f} % on {title}" for title, value in found), "."))
    return tuple(notes)


def target_notes(targets: Iterable[Target]) -> tuple[Phrase, ...]:
    """Return a note for each target that is uninformative or undecided."""
    return tuple(note for target in targets if target.selection == SHOWN and (note := _note(target)))


def log_verdicts(targets: Iterable[Target]) -> None:
    """Log the notes on targets that are uninformative or undecided."""
    for note in target_notes(targets):
        log(phrase_text(note, str, str, str))


def _note(target: Target) -> Phrase:
    verdict, title = target.verdict, Term(target.data_set.title)
    if verdict == "uninformative":
        lead: Phrase = (title, " is uninformative: ")
    elif verdict == "undecided":
        lead = (title, " may be uninformative: ")
    else:
        return ()
    reason = _of_level(target) if target.by_level == verdict else _of_gain(target)
    return (*lead, *reason, *_of_projection(target))


def _of_level(target: Target) -> Phrase:
    compared = max(target.comparisons, key=lambda each: each.above_floor.mean)
    return (
        f"the largest advantage of trained over untrained networks is {_interval_text(compared.above_floor)}, in ",
        Term(compared.arm.name),
        f", whose untrained networks reach {compared.floor:.1f} %; the ceiling is {target.ceiling:.1f} %.",
    )


def _of_gain(target: Target) -> Phrase:
    compared = max(
        (each for each in target.comparisons if each.excess is not None and each.gain is not None),
        key=lambda each: each.excess.mean if each.excess else 0.0,
    )
    assert compared.gain is not None and compared.floor_gain is not None and compared.excess is not None
    return (
        Term(compared.arm.name),
        f" gains {compared.gain.mean:.1f} points over the baseline, and {compared.floor_gain.mean:.1f} points if both "
        "are untrained. The difference between the two gains is "
        f"{_interval_text(compared.excess)}{_which(compared.excess)}.",
    )


def _which(excess: Contrast) -> str:
    """Return a clause which says that the difference is not distinguishable from zero, or "" if it is zero or less."""
    if excess.interval is None or excess.interval[1] <= 0:
        return ""
    return ", which is not distinguishable from zero"


def _of_projection(target: Target) -> Phrase:
    """Return a sentence which says that no arm exceeds a probe on random projections of the pixels, or no words."""
    best = max(each.accuracy for each in target.comparisons)
    if target.projection is None or target.projection < best:
        return ()
    return (f" No arm exceeds the random projection of the pixels ({target.projection:.1f} %; best arm {best:.1f} %).",)


def _interval_text(found: Contrast) -> str:
    if found.interval is None:
        return f"{found.mean:.1f} points"
    low, high = found.interval
    return f"{found.mean:.1f} points (95 % interval {low:.1f} to {high:.1f})"
