"""A table: columns, rows of typed values, and what is said beside them. `writers` turn it into CSV, Markdown and LaTeX.

A Column takes its value from a measured row, and a value knows the text that a reader sees and the fields that it has in a
CSV. So a column is defined in one place for all writers.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from workflow_scripts.timecat.tables.model import NO_STEPS, Arm, Interval, Summary

MeasuredRow = TypeVar("MeasuredRow", contravariant=True)


# --- sentences ---


@dataclass(frozen=True)
class Term:
    """A word of the config, such as an arm's name, which writers set apart from the sentence."""

    word: str


@dataclass(frozen=True)
class Symbol:
    """A letter that stands for a quantity."""

    letter: str


Phrase = tuple[str | Term | Symbol, ...]


def listed(terms: Iterable[str]) -> Phrase:
    """Return terms with commas between them."""
    pieces: list[str | Term | Symbol] = []
    for word in terms:
        pieces += [", ", Term(word)] if pieces else [Term(word)]
    return tuple(pieces)


# --- values ---


@dataclass(frozen=True)
class Shown:
    """What a reader sees of a value: its text, a standard deviation after it, an aside in parentheses, whether it is bold."""

    text: str
    spread: str = ""
    aside: str = ""
    bold: bool = False


class Value(ABC):
    """What a table has in a row and column."""

    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """Return the fields that it has in a CSV."""

    def shown(self) -> Shown:
        """Return what a reader sees of it."""
        return Shown(" ".join(self.fields()))

    def rank(self) -> float:
        """Return what decides which value of a column is the best."""
        return -math.inf


@dataclass(frozen=True)
class Text(Value):
    """Words, or a number that is printed as it was given."""

    text: str

    def fields(self) -> tuple[str, ...]:
        return (self.text,)


@dataclass(frozen=True)
class Count(Value):
    """A whole number, or None where there is none."""

    number: int | None

    def fields(self) -> tuple[str, ...]:
        return ("" if self.number is None else str(self.number),)

    def shown(self) -> Shown:
        return Shown(NO_STEPS if self.number is None else f"{self.number:,}")


@dataclass(frozen=True)
class Parameters(Value):
    """A number of parameters."""

    number: int

    def fields(self) -> tuple[str, ...]:
        return (str(self.number),)

    def shown(self) -> Shown:
        return Shown(parameters_text(self.number))


@dataclass(frozen=True)
class Budget(Value):
    """Members of an arm and steps of each."""

    arm: Arm

    def fields(self) -> tuple[str, ...]:
        return str(self.arm.members), self.arm.steps_field

    def shown(self) -> Shown:
        return Shown(f"{self.arm.members} × {self.arm.steps_text}")


@dataclass(frozen=True)
class Numbers(Value):
    """Numbers in a format, one field each; None and NaN are empty."""

    numbers: tuple[float | None, ...]
    form: str

    def fields(self) -> tuple[str, ...]:
        return tuple(printed(number, self.form) for number in self.numbers)


@dataclass(frozen=True)
class Measured(Value):
    """Mean and standard deviation; None where there is none. aside: what readers see beside them, and a CSV elsewhere.
    bold: whether it stands out among others."""

    summary: Summary | None
    form: str = ".2f"
    aside: str = ""
    bold: bool = False

    def fields(self) -> tuple[str, ...]:
        if self.summary is None:
            return "", ""
        return printed(self.summary.mean, self.form), printed(self.summary.std, self.form)

    def shown(self) -> Shown:
        mean, spread = self.fields()
        return Shown(mean, spread, self.aside, self.bold)

    def rank(self) -> float:
        return -math.inf if self.summary is None else self.summary.mean


@dataclass(frozen=True)
class Difference(Value):
    """A difference with its interval; None where there is none."""

    interval: Interval | None
    form: str = ".2f"

    def fields(self) -> tuple[str, ...]:
        if self.interval is None:
            return "", "", ""
        return tuple(printed(end, self.form) for end in (self.interval.mean, self.interval.low, self.interval.high))

    def shown(self) -> Shown:
        if self.interval is None:
            return Shown("")
        mean, low, high = (
            printed(end, f"+{self.form}") for end in (self.interval.mean, self.interval.low, self.interval.high)
        )
        return Shown(mean, aside=f"{low} to {high}" if low else "")


def printed(number: float | None, form: str) -> str:
    """Return a number in a format; "" for None and NaN."""
    return "" if number is None or math.isnan(number) else format(number, form)


def parameters_text(number: int) -> str:
    """Return a number of parameters as a reader sees it: 23.5M, 29.3k."""
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number / 1e3:.1f}k"


# --- the table ---


@dataclass(frozen=True)
class Column(Generic[MeasuredRow]):
    """A column, and how its values are made of measured rows.

    title: its head for readers. fields: the names of its fields in a CSV, as many as its values have.
    mark: what readers are told of the column. best_is_bold: whether its greatest value stands out in each section.
    """

    title: str
    fields: tuple[str, ...]
    value: Callable[[MeasuredRow], Value]
    mark: Literal["", "in distribution", "published"] = ""
    align: Literal["left", "right"] = "right"
    best_is_bold: bool = False


@dataclass(frozen=True)
class Section:
    """Rows of values. kind, name, meaning: what these rows have in common, as "selection", "paper" and what that is.
    columns: those of these rows, where they are not the table's."""

    rows: tuple[tuple[Value, ...], ...]
    kind: str = ""
    name: str = ""
    meaning: str = ""
    columns: tuple[Column[Any], ...] = ()


@dataclass(frozen=True)
class Table:
    """Columns and sections of rows below them, with notes.

    name: in LaTeX's label. caption: what the numbers are. remark: a sentence more, where there is room for it.
    column_notes, row_notes: what single columns and rows are. background: a sentence on how the numbers came about.
    """

    columns: tuple[Column[Any], ...]
    sections: tuple[Section, ...]
    name: str = ""
    caption: Phrase = ()
    remark: Phrase = ()
    column_notes: tuple[Phrase, ...] = ()
    row_notes: tuple[Phrase, ...] = ()
    background: Phrase = ()

    def columns_of(self, section: Section) -> tuple[Column[Any], ...]:
        """Return the columns of a section: its own, or the table's."""
        return section.columns or self.columns

    def shown(self, section: Section) -> list[list[tuple[Shown, bool]]]:
        """Return what a reader sees of each row's values, and whether it is bold: where the value says so, or in a column
        whose best is bold all that look like it."""
        best = [
            max(values, key=lambda value: value.rank()).shown().text if column.best_is_bold else None
            for column, values in zip(self.columns_of(section), zip(*section.rows))
        ]
        return [
            [(shown, shown.bold or shown.text == top) for shown, top in zip((value.shown() for value in row), best)]
            for row in section.rows
        ]


def section_of(
    columns: Sequence[Column[MeasuredRow]],
    rows: Iterable[MeasuredRow],
    kind: str = "",
    name: str = "",
    meaning: str = "",
) -> Section:
    """Return the section that columns make of measured rows."""
    made = tuple(tuple(column.value(row) for column in columns) for row in rows)
    return Section(made, kind, name, meaning)


def table_of(columns: Sequence[Column[MeasuredRow]], rows: Iterable[MeasuredRow]) -> Table:
    """Return a table of one section without notes, as a CSV has it."""
    return Table(tuple(columns), (section_of(columns, rows),))
