"""What names one job of a rule: the wildcards that functions of a study read, and keys that stand for them elsewhere.

Snakemake calls input functions and params with wildcards whose values are text. A function says by a protocol which of them
it reads. The frozen keys have the same attributes; the study, the planner and tests use them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


# --- keys ---


@dataclass(frozen=True)
class SplitKey:
    """One split of a data set: "train" or "evaluation"."""

    data_set: str
    split: str


@dataclass(frozen=True)
class CheckpointKey:
    """One seed of a chain at one step."""

    source: str
    backbone: str
    seed: int
    step: int


@dataclass(frozen=True)
class FeaturesKey(CheckpointKey):
    """The features of a checkpoint on a data set."""

    data_set: str


@dataclass(frozen=True)
class CellKey:
    """A cell of a table: an arm on a data set. source: the data set that the arm is pretrained on."""

    source: str
    data_set: str
    arm: str


@dataclass(frozen=True)
class ReferenceKey:
    """A cell that others are measured against.

    kind: "floor", the cell of an arm untrained; "projection", of a random projection of the pixels; "ceiling", what can be
    reached. arm: whose floor it is; "" for those of a data set.
    """

    kind: str
    arm: str
    cell: CellKey


@dataclass(frozen=True)
class TableKey:
    """A table, by name."""

    table: str


# --- what functions read ---


class HasDataSet(Protocol):
    """Has a data set."""

    @property
    def data_set(self) -> str: ...


class HasSource(Protocol):
    """Has the data set that backbones are pretrained on."""

    @property
    def source(self) -> str: ...


class HasSplit(HasDataSet, Protocol):
    """Has a data set and its split."""

    @property
    def split(self) -> str: ...


class HasBackbone(Protocol):
    """Has a backbone."""

    @property
    def backbone(self) -> str: ...


class HasRun(HasBackbone, Protocol):
    """Has a backbone, a seed and a step (text, or a number)."""

    @property
    def seed(self) -> int | str: ...

    @property
    def step(self) -> int | str: ...


class HasCheckpoint(HasRun, HasSource, Protocol):
    """Has all that names a checkpoint."""


class HasArm(Protocol):
    """Has an arm."""

    @property
    def arm(self) -> str: ...


class HasMembers(HasArm, HasDataSet, Protocol):
    """Has an arm and a data set."""


class HasCell(HasMembers, HasSource, Protocol):
    """Has all that names a cell of a table."""


class HasTable(Protocol):
    """Has a table."""

    @property
    def table(self) -> str: ...


class HasDownload(Protocol):
    """Has the file name of a download."""

    @property
    def download(self) -> str: ...


def of_table(function: Callable[[HasTable], T], table: str) -> Callable[[object], T]:
    """Return an input function or param of {table} for a rule that makes one table and has no such wildcard."""
    return lambda wildcards: function(TableKey(table))
