"""Types of a table: columns, rows of typed values, and notes. `writers` turn a table into CSV, Markdown and LaTeX.

A Column takes its value from a measured row. A value knows its text for readers and its fields in a CSV, so that a
column is defined once for all writers.
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
    """A word of the config, such as an arm's name, which writers may print in bold."""

    word: str


@dataclass(frozen=True)
class Symbol:
    """A letter that stands for a quantity, such as n."""

    letter: str


Phrase = tuple[str | Term | Symbol, ...]


def listed(terms: Iterable[str]) -> Phrase:
    """Return a phrase that lists terms, separated by commas."""
    pieces: list[str | Term | Symbol] = []
    for word in terms:
        pieces += [", ", Term(word)] if pieces else [Term(word)]
    return tuple(pieces)


# --- values ---


@dataclass(frozen=True)
class Shown:
    """Text of a value for readers: its main text, standard deviation, aside in parentheses, and whether it is bold."""

    text: str
    spread: str = ""
    aside: str = ""
    bold: bool = False


class Value(ABC):
    """Value of a table in one row and column."""

    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """Return the value's fields in a CSV."""

    def shown(self) -> Shown:
        """Return the value's text for readers."""
        return Shown(" ".join(self.fields()))

    def rank(self) -> float:
        """Return the number by which a column's values are ranked; the highest is the best."""
        return -math.inf


@dataclass(frozen=True)
class Text(Value):
    """Text, or a number that is printed exactly as given."""

    text: str

    def fields(self) -> tuple[str, ...]:
        return (self.text,)


@dataclass(frozen=True)
class Count(Value):
    """A whole number, or None for an empty field."""

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
    """Number of members of an arm and steps of each member."""

    arm: Arm

    def fields(self) -> tuple[str, ...]:
        return str(self.arm.members), self.arm.steps_field

    def shown(self) -> Shown:
        return Shown(f"{self.arm.members} × {self.arm.steps_text}")


@dataclass(frozen=True)
class Numbers(Value):
    """Numbers printed in one format, one CSV field each; None and NaN become empty fields."""

    numbers: tuple[float | None, ...]
    form: str

    def fields(self) -> tuple[str, ...]:
        return tuple(printed(number, self.form) for number in self.numbers)


@dataclass(frozen=True)
class Measured(Value):
    """Mean and standard deviation of a summary, or empty fields for None.

    aside: text in parentheses for readers, which a CSV has in other columns. bold: whether the value is bold.
    """

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
    """A difference with its interval, or empty fields for None."""

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
    """Return a number in a format, or "" for None and NaN."""
    return "" if number is None or math.isnan(number) else format(number, form)


def parameters_text(number: int) -> str:
    """Return a number of parameters for readers, such as 23.5M or 29.3k."""
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number / 1e3:.1f}k"


# --- the table ---


@dataclass(frozen=True)
class Column(Generic[MeasuredRow]):
    """A column, with the function that makes its value from a measured row.

    title: heading for readers. fields: names of its fields in a CSV, one for each field of its values. mark: remark on
    the column for readers. best_is_bold: whether the greatest value of each section is bold.
    """

    title: str
    fields: tuple[str, ...]
    value: Callable[[MeasuredRow], Value]
    mark: Literal["", "in distribution", "published"] = ""
    align: Literal["left", "right"] = "right"
    best_is_bold: bool = False


@dataclass(frozen=True)
class Section:
    """A section of a table: rows of values that have a description in common.

    kind, name, meaning: the description, such as "selection", "paper" and the meaning of that selection. columns: the
    section's columns, if they differ from the table's.
    """

    rows: tuple[tuple[Value, ...], ...]
    kind: str = ""
    name: str = ""
    meaning: str = ""
    columns: tuple[Column[Any], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: columns, sections of rows, and notes.

    name: used in the LaTeX label. caption: description of the numbers. remark: another sentence, left out in LaTeX.
    column_notes, row_notes: notes on columns and rows. background: a sentence on how the numbers were obtained.
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
        """Return the columns of a section, by default the table's."""
        return section.columns or self.columns

    def shown(self, section: Section) -> list[list[tuple[Shown, bool]]]:
        """Return for each row the texts of its values and whether each is bold.

        A value is bold if it says so, or if it has the same text as the best value of a column with ``best_is_bold``.
        """
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
    """Return a section with the values of columns for measured rows."""
    made = tuple(tuple(column.value(row) for column in columns) for row in rows)
    return Section(made, kind, name, meaning)


def table_of(columns: Sequence[Column[MeasuredRow]], rows: Iterable[MeasuredRow]) -> Table:
    """Return a table with one section and no notes, for a CSV."""
    return Table(tuple(columns), (section_of(columns, rows),))
