"""Mark the cells of a table whose probes have not converged, or that select a weight decay at an end of the grid.

A cell has not converged if a replicate's selected head has a relative gradient (probing.objective) above CONVERGED, or
if its mean accuracy differs by more than FAR from the mean of the converged probes of the same checkpoints at the same
weight decays. The second rule applies if the table has an arm with the same checkpoints and `solver: lbfgs`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.probing.selection import SELECTIONS, Selected
from workflow_scripts.timecat.tables.accuracies import FIELDS
from workflow_scripts.timecat.tables.model import PROBE, Arm, DataSet
from workflow_scripts.timecat.tables.reading import Probes, selected_heads
from workflow_scripts.timecat.tables.table import Column, Phrase, Table, Term, Text, printed

if TYPE_CHECKING:
    import pyarrow

CONVERGED = 1e-4
FAR = 0.5  # percentage points

CellOf = tuple[str, str, str]  # arm, data set, selection


@dataclass(frozen=True)
class Marks:
    """Convergence of a cell's probes under one selection.

    gradient: the largest relative gradient of its replicates, or None if unknown. distance: its mean accuracy minus the
    converged probes' mean accuracy, in points, or None. edge: number of replicates whose weight decay is the smallest
    or the largest of its grid, or None if the grid has one value.
    """

    gradient: float | None = None
    distance: float | None = None
    edge: int | None = None

    @property
    def has_converged(self) -> bool | None:
        """Whether the cell has converged, or None if its gradient is unknown."""
        if self.gradient is None:
            return None
        return self.gradient <= CONVERGED and abs(self.distance or 0.0) <= FAR

    @property
    def converged_field(self) -> str:
        """CSV field that tells whether the cell has converged: "yes", "no", or "" if unknown."""
        return {None: "", True: "yes", False: "no"}[self.has_converged]


# Suffixes of the CSV columns of marks, and their values. A table has a column if some cell has its value.
FIELDS_OF_MARKS: dict[str, Callable[[Marks], str]] = {
    "_gradient": lambda marks: printed(marks.gradient, ".1e"),
    "_from_converged": lambda marks: printed(marks.distance, ".2f"),
    "_converged": lambda marks: marks.converged_field,
    "_edge": lambda marks: "" if marks.edge is None else str(marks.edge),
}


@dataclass(frozen=True)
class Convergence:
    """Marks of all cells of a table, by (arm, data set, selection)."""

    arms: Sequence[Arm]
    data_sets: Sequence[DataSet]
    marks: Mapping[CellOf, Marks]

    def in_records(self, table: Table) -> Table:
        """Return a CSV's table (a row per arm) with columns of marks appended."""
        present = {ending: text for ending, text in FIELDS_OF_MARKS.items() if any(map(text, self.marks.values()))}
        keys = [(data_set.name, selection) for data_set in self.data_sets for selection in SELECTIONS]
        columns: list[Column[Any]] = [
            Column("", (f"{FIELDS[selection].format(name)}{ending}",), lambda row: row)
            for name, selection in keys
            for ending in present
        ]
        (section,) = table.sections
        rows = tuple(
            (*row, *(Text(text(self.marks[arm.name, *key])) for key in keys for text in present.values()))
            for arm, row in zip(self.arms, section.rows, strict=True)
        )
        return replace(table, columns=(*table.columns, *columns), sections=(replace(section, rows=rows),))

    def in_table(self, table: Table) -> Table:
        """Return the table for readers with a note for each kind of mark appended."""
        return replace(table, row_notes=(*table.row_notes, *self.notes()))

    def notes(self) -> tuple[Phrase, ...]:
        """Return notes on gradients, distances from converged probes and ends of grids, as far as they are known."""
        return tuple(note for note in (self._gradient_note(), self._distance_note(), self._edge_note()) if note)

    def _gradient_note(self) -> Phrase:
        known = {cell: marks.gradient for cell, marks in self.marks.items() if marks.gradient is not None}
        if not known:
            return ()
        above = {cell for cell, gradient in known.items() if gradient > CONVERGED}
        what = "The gradient norm of the selected heads' objective, relative to that at zero weights,"
        if not above:
            return (f"All probes have converged. {what} is {_power(max(known.values()))} or less.",)
        most = max(known.values())
        if above == known.keys():
            least = min(known.values())
            return (
                f"No probe has converged. {what} is between {_power(least)} and {_power(most)}; a value up to "
                f"{_power(CONVERGED)} counts as converged. Probes with ",
                Term("solver: lbfgs"),
                " are fitted to convergence.",
            )
        return (
            f"Not converged: {what[0].lower()}{what[1:]} is above {_power(CONVERGED)} (up to {_power(most)}) in ",
            *self._listed(above, set(known)),
            ".",
        )

    def _distance_note(self) -> Phrase:
        known = {cell: marks.distance for cell, marks in self.marks.items() if marks.distance is not None}
        if not known:
            return ()
        far = {cell for cell, distance in known.items() if abs(distance) > FAR}
        most = max(known.values(), key=abs)
        what = (
            "that of converged probes of the same checkpoints at the same weight decays (largest difference: "
            f"{most:+.2f})"
        )
        if not far:
            return (f"No mean accuracy differs by more than {FAR:g} points from {what}, where the table has these.",)
        return (
            f"Mean accuracy differs by more than {FAR:g} points from {what} in ",
            *self._listed(far, set(known)),
            ".",
        )

    def _edge_note(self) -> Phrase:
        cells = {cell for cell, marks in self.marks.items() if marks.edge}
        if not cells:
            return ()
        of_grids = {cell for cell, marks in self.marks.items() if marks.edge is not None}
        return (
            "The selected weight decay of at least one replicate is at an end of its grid in ",
            *self._listed(cells, of_grids),
            ".",
        )

    def _listed(self, cells: set[CellOf], among: set[CellOf]) -> Phrase:
        """Return a phrase that lists cells arm by arm (by selection if these differ), or "all cells"."""
        if cells == among:
            return ("all cells",)
        by_selection = {
            selection: frozenset((arm, name) for arm, name, by in cells if by == selection) for selection in SELECTIONS
        }
        if len(set(by_selection.values())) == 1:
            return self._by_arm(next(iter(by_selection.values())))
        phrase: list[Any] = []
        for selection, own in by_selection.items():
            if own:
                phrase += ["; " if phrase else "", *self._by_arm(own), " (selection ", Term(selection), ")"]
        return tuple(phrase)

    def _by_arm(self, cells: Iterable[tuple[str, str]]) -> Phrase:
        found = set(cells)
        phrase: list[Any] = []
        for arm in self.arms:
            own = [data_set.title for data_set in self.data_sets if (arm.name, data_set.name) in found]
            if own:
                everywhere = len(own) == len(self.data_sets)
                phrase += [", " if phrase else "", Term(arm.name), "" if everywhere else f" on {' and '.join(own)}"]
        return tuple(phrase)


def convergence_of(probes: Probes, arms: Sequence[Arm], data_sets: Sequence[DataSet]) -> Convergence:
    """Return the marks of all cells of a table, from their probes."""
    marks = {}
    for arm in arms:
        for data_set in data_sets:
            probe = probes[arm.name, data_set.name]
            twin = None if arm.converged is None else _full_fits(probes[arm.converged, data_set.name])
            lines = _full_fits(probe)
            for selection in SELECTIONS:
                selected = selected_heads(probe, selection, f"arm {arm.name!r} on data set {data_set.name!r}")
                key = arm.name, data_set.name, selection
                marks[key] = Marks() if selected is None else _marks(lines, selected, arm, twin)
    return Convergence(arms, data_sets, marks)


Lines = list[dict[str, Any]]
Heads = Mapping[int, Selected]  # by replicate


def _full_fits(probe: "pyarrow.Table") -> Lines:
    """Return the lines of a probe's heads that were trained on all training rows."""
    import pyarrow.compute

    return list(probe.filter(pyarrow.compute.equal(probe["fit"], "full")).to_pylist())


def _marks(lines: Lines, selected: Heads, arm: Arm, twin: Lines | None) -> Marks:
    decays = {line["weight_decay"] for line in lines}
    edge = sum(each.weight_decay in (min(decays), max(decays)) for each in selected.values())
    return Marks(
        gradient=_largest_gradient(lines, selected) if arm.transfer == PROBE else None,
        distance=None if twin is None else _distance(lines, selected, twin),
        edge=edge if len(decays) > 1 else None,
    )


def _largest_gradient(lines: Lines, selected: Heads) -> float | None:
    """Return the largest relative gradient of the selected heads, or None if any head's gradient is unknown."""
    known = {
        (line["replicate"], line["weight_decay"], line["epoch"]): line["relative_gradient"]
        for line in lines
        if line["relative_gradient"] is not None
    }
    found = [known.get((replicate, each.weight_decay, each.epoch)) for replicate, each in selected.items()]
    numbers = [each for each in found if each is not None]
    return max(numbers) if len(numbers) == len(found) else None


def _distance(lines: Lines, selected: Heads, converged: Lines) -> float | None:
    """Return the mean accuracy over replicates minus the mean accuracy of the converged heads.

    The converged head of a replicate has the same seeds and weight decay. Return None if a selected head has no
    converged counterpart.
    """
    seeds = {line["replicate"]: tuple(line["members"]) for line in lines}
    known = {
        (tuple(line["members"]), line["weight_decay"]): line["top1"]
        for line in converged
        if line["split"] == "evaluation"
    }
    found = [(each.top1, known.get((seeds[key], each.weight_decay))) for key, each in selected.items()]
    pairs = [(own, other) for own, other in found if other is not None]
    return math.fsum(own - other for own, other in pairs) / len(pairs) if len(pairs) == len(found) else None


def _power(number: float) -> str:
    """Return a number in scientific notation with one digit, such as 2e-3."""
    return f"{number:.0e}".replace("e-0", "e-").replace("e+00", "")
