"""What tables are made of: arms, data sets, cells and measured values, as types.

The first three are parsed from the JSON options of a stage (`options`), which refuses keys that it does not know.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

Transfer = Literal["probe", "finetune", "direct", "reweight"]
PROBE: Transfer = "probe"
DIRECT: Transfer = "direct"
NO_STEPS = "–"  # what readers see in the place of steps that there are none of

# A key of a recipe or of how backbones are trained -> its value, where it is changed.
Changes: TypeAlias = dict[str, bool | int | float | str | list[int | float] | None]

Key = TypeVar("Key")


class Parsed:
    """A dataclass that is read from JSON (runtime.json_arguments): an unknown key is an error, and so is text in the place
    of a number."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class OtherBackbone(Parsed):
    """A backbone that is not the one that a table takes for granted, and the changes of its pretraining recipe."""

    name: str
    changes: Changes


@dataclass(frozen=True)
class Reduction(Parsed):
    """How an arm's features are reduced before its probe: by principal components or at random, to so many dimensions."""

    method: Literal["pca", "random"]
    dimensions: int


@dataclass(frozen=True)
class Arm(Parsed):
    """A row of a table: ``members`` checkpoints at ``steps`` each.

    steps: one number for all members, or one for each; None for an arm that is not pretrained.
    one_seed: whether all members are of one run. backbone, pretrained_on, training: where they differ from what the table
    takes for granted. on_target: whether members are pretrained on each target itself. published: percent by data set.
    parameters: those of all members, where they are counted. macs: multiply-adds of an image's forward pass in the network of a
    member, likewise. in_table: whether an arm of the grid is a row of table 2. solver: of its probes. converged: the table's arm
    with the same checkpoints whose probes have converged, where its own are by SGD. reduce: how its features are reduced, if they
    are. against: the names of the table's arms that it is compared with beside the baseline.
    """

    name: str
    members: int
    steps: int | tuple[int, ...] | None
    transfer: Transfer
    one_seed: bool = False
    backbone: OtherBackbone | None = None
    pretrained_on: str | None = None
    on_target: bool = False
    training: Changes = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    macs: float | None = None
    in_table: bool = False
    solver: Literal["sgd", "lbfgs"] = "sgd"
    converged: str | None = None
    reduce: Reduction | None = None
    against: tuple[str, ...] = ()

    @property
    def single_steps(self) -> int | None:
        """Steps of all members, where they are the same; else None."""
        return None if isinstance(self.steps, tuple) else self.steps

    @property
    def total_steps(self) -> int | None:
        """Steps of pretraining of all members, of one run where all are of one; None for an arm that is not pretrained."""
        if self.steps is None:
            return None
        steps = self.steps if isinstance(self.steps, tuple) else (self.steps,) * self.members
        return max(steps) if self.one_seed else sum(steps)

    @property
    def steps_field(self) -> str:
        """Steps of each member in a CSV: a number, or where they differ those of each, one after the other."""
        if isinstance(self.steps, tuple):
            return " ".join(map(str, self.steps))
        return "" if self.steps is None else str(self.steps)

    @property
    def steps_text(self) -> str:
        """Steps of each member as a reader sees them."""
        if isinstance(self.steps, tuple):
            return f"({', '.join(f'{each:,}' for each in self.steps)})"
        return NO_STEPS if self.steps is None else f"{self.steps:,}"

    def published_on(self, data_set: str) -> str:
        """The published accuracy on a data set, as it was published; "" if there is none."""
        percent = self.published.get(data_set)
        return "" if percent is None else f"{percent:g}"


@dataclass(frozen=True)
class DataSet(Parsed):
    """A column of a table.

    views: how many views of the training images its probes read, "center" for the evaluation crop alone, None where that is
    not known. probe_of: the title of the data set whose heads are evaluated on it, where it has no probe of its own. draws: of
    the training rows, which replicates take in turn.
    """

    name: str
    title: str
    in_distribution: bool
    views: int | Literal["center"] | None = None
    probe_of: str | None = None
    draws: int = 1


@dataclass(frozen=True)
class Cell(Parsed):
    """An arm on a data set, by their names."""

    arm: str
    data_set: str


@dataclass(frozen=True)
class Reference(Parsed):
    """A cell that others are measured against.

    kind: "floor", of an arm untrained; "projection", of a random projection of the pixels; "ceiling", of what can be reached.
    arm: whose floor it is; "" for those of a data set. members: of the cell's own arm.
    """

    kind: Literal["floor", "projection", "ceiling"]
    arm: str
    data_set: str
    members: int


@dataclass(frozen=True)
class Style(Parsed):
    """The size of a figure's panel, in inches."""

    width_per_panel: float
    height: float


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (n - 1; None where n is 1) of n replicates, in percent."""

    mean: float
    std: float | None
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """Return the Summary of one value per replicate."""
    n = len(values)
    mean = math.fsum(values) / n
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None
    return Summary(mean, std, n)


@dataclass(frozen=True)
class Interval:
    """A difference and its interval (None where there are too few replicates for one), in percent points."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row(Generic[Key]):
    """What was measured of an arm: a Summary by key, which starts with a data set's name.

    floors: what the arm untrained reaches, where that is known.
    """

    arm: Arm
    replicates: int
    summaries: Mapping[Key, Summary]
    floors: Mapping[Key, Summary] = field(default_factory=dict)

    def with_floors(self, floors: Mapping[Key, Summary]) -> "Row[Key]":
        """Return the row with its floors."""
        return replace(self, floors=floors)


# A row of accuracies, by (data set's name, selection).
AccuracyRow = Row[tuple[str, str]]
