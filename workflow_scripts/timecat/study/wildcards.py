"""Types of the wildcards that functions of a study read: protocols, and keys with the same attributes.

Snakemake calls input functions and params with wildcards whose values are text. The protocols state which wildcards a
function reads. The keys, frozen dataclasses, replace wildcards where there is no job: in the study, the planner and
tests.
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
    """A checkpoint: one seed of a chain (source, backbone) at one step."""

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
    """A cell of a table: an arm on a data set.

    source: the data set that the arm is pretrained on.
    """

    source: str
    data_set: str
    arm: str


@dataclass(frozen=True)
class ReferenceKey:
    """A cell with which the cells of a table are compared: a floor, a projection of the pixels or a ceiling.

    kind: "floor" (an untrained arm), "projection" (a random projection of the pixels) or "ceiling" (the arm that the
    config names as ceiling). arm: name of the arm whose floor this cell is, or "" for a projection or ceiling, which
    belong to a data set.
    """

    kind: str
    arm: str
    cell: CellKey


@dataclass(frozen=True)
class TableKey:
    """A table, by name."""

    table: str


# --- protocols of wildcards ---


class HasDataSet(Protocol):
    """Wildcards with a data set."""

    @property
    def data_set(self) -> str: ...


class HasSource(Protocol):
    """Wildcards with the data set that backbones are pretrained on."""

    @property
    def source(self) -> str: ...


class HasSplit(HasDataSet, Protocol):
    """Wildcards with a data set and its split."""

    @property
    def split(self) -> str: ...


class HasBackbone(Protocol):
    """Wildcards with a backbone."""

    @property
    def backbone(self) -> str: ...


class HasRun(HasBackbone, Protocol):
    """Wildcards with a backbone, a seed and a step (seed and step as text or a number)."""

    @property
    def seed(self) -> int | str: ...

    @property
    def step(self) -> int | str: ...


class HasCheckpoint(HasRun, HasSource, Protocol):
    """Wildcards that identify a checkpoint: source, backbone, seed and step."""


class HasArm(Protocol):
    """Wildcards with an arm."""

    @property
    def arm(self) -> str: ...


class HasMembers(HasArm, HasDataSet, Protocol):
    """Wildcards with an arm and a data set."""


class HasCell(HasMembers, HasSource, Protocol):
    """Wildcards that identify a cell of a table: source, data set and arm."""


class HasTable(Protocol):
    """Wildcards with a table."""

    @property
    def table(self) -> str: ...


class HasDownload(Protocol):
    """Wildcards with the file name of a download."""

    @property
    def download(self) -> str: ...


def of_table(function: Callable[[HasTable], T], table: str) -> Callable[[object], T]:
    """Return an input function or param of one table, made from a function that reads the wildcard {table}."""
    return lambda wildcards: function(TableKey(table))
