"""What the numbers of a table are worth: floors and ceilings of its targets, and targets that say nothing.

The floor of an arm is the arm untrained; the ceiling of a target is what can be reached there. A target is uninformative by
two rules, of which one is enough:

level  trained networks are no better than untrained ones: for every arm, the upper limit of trained minus floor is below a
       tenth of ceiling minus floor.
gain   untrained networks gain as much: for every arm, its gain (arm minus baseline) cannot be told to exceed the gain of its
       floor (floor of the arm minus floor of the baseline), which is greater than zero and explains nine tenths of it or more.

Where an interval holds both zero and more than that, a target is undecided: what cannot be told from zero is not zero.
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
Accuracies: TypeAlias = Mapping[tuple[str, str, str], Replicates]  # by names of arm and data set, and selection
SHOWN = "holdout"  # the selection that sentences are of: it does not look at the evaluation split
TENTH = 0.1  # of ceiling minus floor, or of a gain: what is beyond untrained networks must be more
WARNINGS = {"uninformative": "uninformative", "undecided": "perhaps uninformative"}  # verdicts that a figure says
Verdict = Literal["informative", "undecided", "uninformative", "unknown"]


@dataclass(frozen=True)
class References:
    """What cells are measured against, by selection.

    floors: by (arm, data set, selection). projections, ceilings: percent by (data set, selection).
    """

    floors: Mapping[tuple[str, str, str], Replicates]
    projections: Mapping[tuple[str, str], float]
    ceilings: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Comparison:
    """An arm on a target. accuracy, floor: percent.

    above_floor: trained minus untrained. gain, floor_gain: arm minus baseline, trained and untrained; excess: the first minus
    the second, taken as independent of it; all None for the baseline.
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
    """A target of a table, by one selection. projection, ceiling: percent; None where there is none."""

    data_set: DataSet
    selection: str
    comparisons: tuple[Comparison, ...]
    projection: float | None
    ceiling: float | None

    @property
    def verdict(self) -> Verdict:
        """Whether accuracies on the target say anything about pretraining; "unknown" without floors or intervals."""
        return max((self.by_level, self.by_gain), key=("unknown", "informative", "undecided", "uninformative").index)

    @property
    def by_level(self) -> Verdict:
        """The verdict of the rule `level`."""
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
        """The verdict of the rule `gain`."""
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
    """Return the target that a data set is, by the selection that is shown; None where it is none."""
    shown = (target for target in targets if target.selection == SHOWN)
    return next((target for target in shown if target.data_set.name == data_set.name), None)


def _least_bad(found: Iterable[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("informative", "unknown", "undecided", "uninformative")
    return min(found, key=order.index)


def read_references(
    paths: Sequence[str | PathLike[str]], cells: Sequence[Reference], known: Mapping[str, float]
) -> References:
    """Return what cells are measured against. known: ceilings that others have measured, percent by data set.

    UserError if files and cells do not go together.
    """
    if len(paths) != len(cells):
        raise UserError(
            f"--references names {len(paths)} files and --reference-cells {len(cells)} cells; give one per file"
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
    """Return rows with the summaries of their floors."""
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
    """Return each target of a table by each selection: those data sets that have a floor, a projection or a ceiling.

    accuracies: the replicates of every cell by (arm, data set, selection). baseline: the name of the arm that the others are
    compared with.
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


# --- what readers are told ---


def reference_notes(targets: Sequence[Target]) -> tuple[Phrase, ...]:
    """Return what readers are told of floors, projections and ceilings; nothing where there is none."""
    notes: list[Phrase] = []
    if any(target.comparisons for target in targets):
        notes.append(("Floor: the mean of the arm untrained, its networks as they are initialised.",))
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
    """Return a sentence or two for each target that is not simply informative."""
    return tuple(note for target in targets if target.selection == SHOWN and (note := _note(target)))


def log_verdicts(targets: Iterable[Target]) -> None:
    """Log the sentences on targets that are not simply informative."""
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
        f"trained networks are at most {_interval_text(compared.above_floor)} points above untrained ones (",
        Term(compared.arm.name),
        f"), which reach {compared.floor:.1f} %; the ceiling is {target.ceiling:.1f} %.",
    )


def _of_gain(target: Target) -> Phrase:
    compared = max(
        (each for each in target.comparisons if each.excess is not None and each.gain is not None),
        key=lambda each: each.excess.mean if each.excess else 0.0,
    )
    assert compared.gain is not None and compared.floor_gain is not None and compared.excess is not None
    return (
        Term(compared.arm.name),
        f" gains {compared.gain.mean:.1f} points on the baseline, and untrained networks gain {compared.floor_gain.mean:.1f} "
        f"by concatenation alone (difference {_interval_text(compared.excess)}{_which(compared.excess)}).",
    )


def _which(excess: Contrast) -> str:
    """Return whether a difference is zero or less, or only cannot be told from zero."""
    if excess.interval is None or excess.interval[1] <= 0:
        return ""
    return ", which cannot be told from zero"


def _of_projection(target: Target) -> Phrase:
    """Return that no network is needed, where that is so."""
    best = max(each.accuracy for each in target.comparisons)
    if target.projection is None or target.projection < best:
        return ()
    return (f" No arm exceeds the random projection of the pixels ({target.projection:.1f} %; best arm {best:.1f} %).",)


def _interval_text(found: Contrast) -> str:
    if found.interval is None:
        return f"{found.mean:.1f}"
    low, high = found.interval
    return f"{found.mean:.1f}, {low:.1f} to {high:.1f}"
