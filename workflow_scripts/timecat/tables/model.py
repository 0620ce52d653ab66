"""Types that tables are made of: arms, data sets, cells and measured values.

Arms, data sets and cells are parsed from the JSON options of a stage (`options`), where an unknown key is an error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

Transfer = Literal["probe", "finetune", "direct", "reweight"]
PROBE: Transfer = "probe"
DIRECT: Transfer = "direct"
NO_STEPS = "–"  # shown to readers in place of a number of steps, for an arm without pretraining

# Changed keys of a pretraining recipe or of the training of backbones, with their values.
Changes: TypeAlias = dict[str, bool | int | float | str | list[int | float] | None]

Key = TypeVar("Key")


class Parsed:
    """Base of dataclasses that are read from JSON (runtime.json_arguments).

    An unknown key is an error, and so is a value of the wrong type, such as text instead of a number.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class OtherBackbone(Parsed):
    """A backbone other than the table's default backbone, and the changes of its pretraining recipe."""

    name: str
    changes: Changes


@dataclass(frozen=True)
class Reduction(Parsed):
    """Reduction of an arm's features before its probe: the method, and the number of dimensions that are left."""

    method: Literal["pca", "random"]
    dimensions: int


@dataclass(frozen=True)
class Arm(Parsed):
    """A row of a table: ``members`` checkpoints at ``steps`` each.

    steps: one number for all members, or one for each, or None for an arm that is not pretrained. one_seed: whether all
    members come from one run. backbone, pretrained_on, training: set if they differ from the table's defaults.
    on_target: whether members are pretrained on each target itself. published: published percentages by data set.
    parameters: number of parameters of all members, if counted. macs: multiply-adds of one image's forward pass in one
    member's network, if counted. in_table: whether an arm of the grid is a row of table 2. solver: probes' solver.
    converged: the table's arm with the same checkpoints and converged probes, if this arm's probes are trained by SGD.
    reduce: reduction of its features, if any. against: names of the table's arms that it is compared with in addition
    to the baseline.
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
        """Number of steps if it is the same for all members, otherwise None."""
        return None if isinstance(self.steps, tuple) else self.steps

    @property
    def total_steps(self) -> int | None:
        """Pretraining steps of all members (of the run, if they come from one), or None without pretraining."""
        if self.steps is None:
            return None
        steps = self.steps if isinstance(self.steps, tuple) else (self.steps,) * self.members
        return max(steps) if self.one_seed else sum(steps)

    @property
    def steps_field(self) -> str:
        """CSV field of the steps per member: one number, or a number for each member, separated by spaces."""
        if isinstance(self.steps, tuple):
            return " ".join(map(str, self.steps))
        return "" if self.steps is None else str(self.steps)

    @property
    def steps_text(self) -> str:
        """Text for readers of the steps per member: one number, or a number for each member in parentheses."""
        if isinstance(self.steps, tuple):
            return f"({', '.join(f'{each:,}' for each in self.steps)})"
        return NO_STEPS if self.steps is None else f"{self.steps:,}"

    def published_on(self, data_set: str) -> str:
        """Return the published accuracy on a data set as it was published, or "" if there is none."""
        percent = self.published.get(data_set)
        return "" if percent is None else f"{percent:g}"


@dataclass(frozen=True)
class DataSet(Parsed):
    """A column of a table.

    views: number of views of the training images that its probes read, "center" for the evaluation crop alone, None if
    unknown. probe_of: title of the data set whose heads are evaluated on this one, if this one has no probe. draws:
    number of draws of the training rows; replicates use the draws one after the other.
    """

    name: str
    title: str
    in_distribution: bool
    views: int | Literal["center"] | None = None
    probe_of: str | None = None
    draws: int = 1


@dataclass(frozen=True)
class Cell(Parsed):
    """A cell of a table: the names of its arm and data set."""

    arm: str
    data_set: str


@dataclass(frozen=True)
class Reference(Parsed):
    """A reference value that cells of a table are compared with.

    kind: "floor" (an arm with untrained networks), "projection" (a random projection of the pixels) or "ceiling" (a
    value that can be reached). arm: name of the arm of a floor, "" for the other kinds. members: number of members of
    the reference's arm.
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
    """Return the Summary of values, one per replicate."""
    n = len(values)
    mean = math.fsum(values) / n
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None
    return Summary(mean, std, n)


@dataclass(frozen=True)
class Interval:
    """A difference and its interval (None if there are too few replicates), in percentage points."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row(Generic[Key]):
    """Measured values of an arm: a Summary by key, which starts with a data set's name.

    floors: values of the same arm with untrained networks, where they are known.
    """

    arm: Arm
    replicates: int
    summaries: Mapping[Key, Summary]
    floors: Mapping[Key, Summary] = field(default_factory=dict)

    def with_floors(self, floors: Mapping[Key, Summary]) -> "Row[Key]":
        """Return the row with the given floors."""
        return replace(self, floors=floors)


# A row of accuracies, with summaries by (data set's name, selection).
AccuracyRow = Row[tuple[str, str]]
