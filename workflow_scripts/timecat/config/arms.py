"""The typed config of arms, the rows of tables, and of the tables beside table 2 (`table1`, `controls`, `families`).

All tables draw on one set of arms: a name means the same arm wherever it stands, and is probed once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from workflow_scripts.timecat.config.blocks import (
    Block,
    Name,
    Percent,
    PositiveInt,
    Seed,
    WithoutRepeats,
    changes_of,
    repeated,
)
from workflow_scripts.timecat.config.probe import Reduce, Solver
from workflow_scripts.timecat.config.replicates import Design
from workflow_scripts.timecat.config.transfer import Transfer

if TYPE_CHECKING:
    TransferChanges = Block  # made when the module is read
else:
    TransferChanges = changes_of(Transfer, "TransferChanges")
TRAINED = ("finetune", "direct")  # the modes of `transfer` that train backbones, each by the block of that name

Steps = Annotated[int, Field(ge=0)]
Seeds = Annotated[list[Seed], Field(min_length=1), WithoutRepeats]
Targets = Annotated[list[Name], Field(min_length=1), WithoutRepeats]
TableBlock = Literal["table1", "controls", "families", "gap", "genomics", "spurious"]
TABLES: tuple[TableBlock, ...] = (
    "table1",
    "controls",
    "families",
)  # blocks of the config that are an ArmTable, and the names of their results
GAP_TABLES: tuple[TableBlock, ...] = ("gap", "genomics")  # blocks that are a config.gap.GapTable
OTHER_TABLES: tuple[TableBlock, ...] = (
    *GAP_TABLES,
    "spurious",
)  # blocks that have an ArmTable's keys, and a rule of their own


class Arm(Block):
    """A row of a table: `members` checkpoints at `steps` each, their features concatenated."""

    name: Name = Field(description="its name in tables and files")
    members: PositiveInt = Field(description="number of checkpoints")
    steps: Steps | list[Steps] | None = Field(
        None,
        description="optimizer steps of each, or a list with those of each member in turn (0: the network as it is "
        "initialised); required, except with `transfer: direct`, which has none",
    )
    source: Name | None = Field(
        None,
        description="the data set that its members are pretrained on (default: its table's, else the study's source)",
    )
    pretrained_on: Literal["source", "target"] = Field(
        "source",
        description="`target`: its members are pretrained on each target itself, by the same recipe and for the same steps. Beside an "
        "arm that is pretrained on the source, such an arm differs in the data alone",
    )
    backbone: Name | None = Field(
        None, description="a key of `backbones` (default: its table's, else the study's backbone)"
    )
    transfer: Literal["probe", "finetune", "direct", "reweight"] = Field(
        "probe",
        description="`probe`: frozen backbones; `finetune`: backbones trained on as well; `direct`: backbones trained on "
        "the target from nothing; `reweight`: frozen backbones, a last layer trained on balanced groups (block `reweight`)",
    )
    solver: Solver | None = Field(
        None, description="with `transfer: probe`: how its probes are trained (default: probe.solver)"
    )
    reduce: Reduce | None = Field(
        None,
        description="with `transfer: probe`: the concatenated features are reduced before the probe, such as {method: pca, "
        "dimensions: 64}, to compare arms at one width. It costs a probe and nothing else (default: as they are)",
    )
    training: TransferChanges | None = Field(
        None,
        description="with `transfer: finetune` or `direct`: changes to that block for this arm, such as {epochs: 90, "
        "lr_milestones: [30, 60, 80]}",
    )
    one_seed: bool = Field(
        False,
        description="all members of a replicate are of one seed, and each seed is a replicate: copies of one checkpoint, or "
        "with a list of `steps` snapshots of one run",
    )
    seeds: Seeds | None = Field(
        None, description="seeds that its replicates are made of (default: its table's `seeds`, else pretrain.seeds)"
    )
    replicates: (
        Annotated[
            Annotated[Design, Tag("design")] | Annotated[list[list[Seed]], Field(min_length=1), Tag("list")],
            Discriminator(lambda value: "list" if isinstance(value, list) else "design"),
        ]
        | None
    ) = Field(
        None,
        description="how they are made of the seeds, as `replicates.design` says, or lists of seeds, one per replicate "
        "(default: its table's, else the study's)",
    )
    published: dict[Name, Percent] = Field(
        {}, description="published accuracies by data set, in percent, which tables print beside the measured ones"
    )
    against: Annotated[list[Name], WithoutRepeats] = Field(
        [],
        description="other rows of its table that it is compared with beside the baseline, in tables of accuracies (table 2, "
        "`table1`, `controls`, `families`). The table reports the arm minus each of them; p-values are adjusted over these "
        "contrasts and those with the baseline together. Another table that names the arm has none of them",
    )

    @property
    def listed_replicates(self) -> list[list[int]]:
        """The seeds of each replicate, where the config lists them; else empty."""
        return self.replicates if isinstance(self.replicates, list) else []

    def design(self, usual: Design | None) -> Design | None:
        """How its replicates are made of its seeds, where it does not list them: as its own key says, else as ``usual`` of its
        table or study. None of an arm that trains backbones for each replicate, which no other key makes more expensive."""
        if isinstance(self.replicates, str):
            return self.replicates
        return None if self.transfer in TRAINED else usual

    @property
    def all_steps(self) -> list[int]:
        """Optimizer steps of each member; empty without pretraining."""
        if self.steps is None:
            return []
        return self.steps if isinstance(self.steps, list) else [self.steps] * self.members

    @property
    def milestones(self) -> list[int]:
        """The steps after which its members are checkpoints of a chain, ascending: all but 0."""
        return sorted({step for step in self.all_steps if step > 0})

    @model_validator(mode="after")
    def _training_where_trained(self) -> Self:
        if self.training is not None and self.transfer not in TRAINED:
            raise ValueError(
                f"training: {self.name!r} has `transfer: {self.transfer}`, which trains no backbone; remove the key, or choose "
                "finetune or direct"
            )
        return self

    @model_validator(mode="after")
    def _probe_where_probed(self) -> Self:
        for key in ("solver", "reduce"):
            if getattr(self, key) is not None and self.transfer != "probe":
                raise ValueError(
                    f"{key}: {self.name!r} has `transfer: {self.transfer}`, which has no probe; remove the key, or choose probe"
                )
        return self

    @model_validator(mode="after")
    def _source_where_shared(self) -> Self:
        if self.pretrained_on == "target" and self.source is not None:
            raise ValueError(f"source: {self.name!r} is pretrained on each target itself; remove the key")
        return self

    @model_validator(mode="after")
    def _steps_where_pretrained(self) -> Self:
        if self.transfer == "direct" and self.steps is not None:
            raise ValueError("steps: an arm with `transfer: direct` is not pretrained; remove the key")
        if self.transfer == "direct" and self.pretrained_on == "target":
            raise ValueError("pretrained_on: an arm with `transfer: direct` is not pretrained; remove the key")
        if self.transfer == "direct" and self.one_seed:
            raise ValueError("one_seed: an arm with `transfer: direct` has no checkpoints to share; remove the key")
        if self.transfer != "direct" and self.steps is None:
            raise ValueError("steps: it is missing; add it (the optimizer steps of each member)")
        if isinstance(self.steps, list) and len(self.steps) != self.members:
            raise ValueError(
                f"steps: {self.steps} has {len(self.steps)} numbers and {self.name!r} has {self.members} members; give one "
                "for each, or one number for all"
            )
        return self


class ArmTable(Block):
    """A table of arms beside table 2: its own arms, and arms of other tables by their names."""

    seeds: Seeds | None = Field(
        None, description="seeds that the replicates of its own arms are made of (default: pretrain.seeds)"
    )
    source: Name | None = Field(
        None, description="the data set that its own arms are pretrained on (default: the study's source)"
    )
    backbone: Name | None = Field(None, description="the backbone of its own arms (default: the study's backbone)")
    replicates: Design | None = Field(
        None,
        description="the design of its own arms' replicates (default: `replicates.design`); arms that train backbones on the "
        "target keep disjoint ones",
    )
    targets: Targets | None = Field(
        None, description="its data sets, in the order of its columns (default: the study's targets)"
    )
    arms: Annotated[
        list[
            Annotated[
                Annotated[Name, Tag("name")] | Annotated[Arm, Tag("arm")],
                Discriminator(lambda value: "name" if isinstance(value, str) else "arm"),
            ]
        ],
        Field(min_length=1),
    ] = Field(description="the rows in order: arms as in `arms`, or names of arms that stand in another table")

    @property
    def own(self) -> list[Arm]:
        """The arms that are defined here, with the seeds, source and backbone that they are made of."""
        shared = {key: getattr(self, key) for key in ("seeds", "source", "backbone")}
        return [
            _completed(arm, shared | {"replicates": arm.design(self.replicates)})
            for arm in self.arms
            if isinstance(arm, Arm)
        ]

    @property
    def names(self) -> list[str]:
        """The names of all rows."""
        return [arm.name if isinstance(arm, Arm) else arm for arm in self.arms]


class AccuracyTable(ArmTable):
    """A table of arms whose accuracies are compared with those of a baseline."""

    baseline: Name | None = Field(None, description="the arm that its others are compared with (default: its first)")

    @model_validator(mode="after")
    def _baseline_is_a_row(self) -> Self:
        check_baseline(self.baseline, self.names)
        return self


def check_baseline(baseline: str | None, names: list[str]) -> None:
    """ValueError where a baseline is none of a table's rows."""
    if baseline is not None and baseline not in names:
        raise ValueError(f"baseline: {baseline!r} is not one of the rows ({', '.join(names)}); add it or correct it")


def check_against(key: str, arms: Iterable[Arm], names: list[str], baseline: str) -> None:
    """ValueError, beginning with the key, where an arm of a table is compared with none of its rows (``names``), with itself, or
    with one that it is compared with already."""
    compared = set[frozenset[str]]()
    for arm in arms:
        for other in arm.against:
            named = f"{key}: `against` of {arm.name!r} names {other!r}, "
            if other not in names:
                raise ValueError(f"{named}which is not one of the rows ({', '.join(names)}); add it or correct it")
            if other == arm.name:
                raise ValueError(f"{named}which is the arm itself; remove it")
            pair = frozenset((arm.name, other))
            if baseline in pair:
                raise ValueError(
                    f"{named}and {baseline!r} is the baseline, which all rows are compared with; remove it"
                )
            if pair in compared:
                raise ValueError(f"{named}whose own `against` has {arm.name!r}; remove one of the two")
            compared.add(pair)


def _completed(arm: Arm, shared: dict[str, Any]) -> Arm:
    """Return an arm with what its table says where it says nothing itself."""
    return arm.model_copy(update={key: value for key, value in shared.items() if getattr(arm, key) is None})


def collected_arms(
    arms: list[Arm],
    tables: Mapping[str, ArmTable],
    ceiling: Arm | str | None = None,
    reduced: Callable[[Mapping[str, Arm]], Iterable[Arm]] = lambda arms: (),
) -> dict[str, Arm]:
    """All arms by name, those of table 2 (``arms``) first, then the ceiling's and those that are made of others (``reduced``,
    a function of them). ValueError, beginning with the key, where a name of a row stands twice in a table, means two arms, or
    none."""
    rows = {"arms": [arm.name for arm in arms]} | {f"{name}.arms": table.names for name, table in tables.items()}
    for key, names in rows.items():
        if (name := repeated(names)) is not None:
            raise ValueError(f"{key}: {name!r} stands there twice; give each its own name or remove one")
    found = {arm.name: arm for arm in arms}
    place = dict.fromkeys(found, "arms")
    for name, table in tables.items():
        for arm in table.own:
            if found.setdefault(arm.name, arm) != arm:
                raise ValueError(
                    f"{name}.arms: {arm.name!r} is another arm in `{place[arm.name]}`; give it a name of its own, or write "
                    "the name alone for the same arm"
                )
            place.setdefault(arm.name, f"{name}.arms")
    if isinstance(ceiling, Arm) and found.setdefault(ceiling.name, ceiling) != ceiling:
        raise ValueError(
            f"ceiling.arm: {ceiling.name!r} is another arm in `{place[ceiling.name]}`; give it another name"
        )
    for arm in reduced(found):
        if found.setdefault(arm.name, arm) != arm:
            raise ValueError(
                f"width: {arm.name!r} is another arm in `{place.get(arm.name, 'ceiling.arm')}`; give that one another name"
            )
    named = [(f"{name}.arms", row) for name, table in tables.items() for row in table.names]
    named += [("ceiling.arm", ceiling)] if isinstance(ceiling, str) else []
    _check_named(named, found)
    return found


def _check_named(named: Iterable[tuple[str, str]], arms: Mapping[str, Arm]) -> None:
    """ValueError where a name (after its key) is of none of the arms."""
    for key, row in named:
        if row not in arms:
            raise ValueError(f"{key}: {row!r} is not one of the arms ({', '.join(arms)}); define it or correct it")


def check_replicates(arm: Arm, seeds: list[int], key: str) -> None:
    """ValueError where an arm cannot be made of its seeds (``seeds``, which stand at ``key`` of the config)."""
    needed = 1 if arm.one_seed else arm.members
    if not arm.listed_replicates and needed > len(seeds):
        raise ValueError(
            f"arms: {arm.name!r} needs {needed} seeds and {key} has {len(seeds)}; add {needed - len(seeds)} or lower its "
            "members"
        )
    # A seed that stands twice inside a replicate is allowed: copies of one checkpoint are a control.
    if (replicate := repeated(arm.listed_replicates)) is not None:
        raise ValueError(
            f"arms: the replicate {replicate} of {arm.name!r} stands there twice and would count as two; remove one"
        )
    for replicate in arm.listed_replicates:
        if len(replicate) != arm.members:
            raise ValueError(
                f"arms: {arm.name!r} has {arm.members} members, its replicate {replicate} has {len(replicate)} seeds; "
                "list as many seeds as members"
            )
        if arm.one_seed and len(set(replicate)) > 1:
            raise ValueError(
                f"arms: {arm.name!r} has `one_seed`, its replicate {replicate} has {len(set(replicate))}; repeat one seed, "
                "or leave `replicates` out"
            )
        for seed in replicate:
            if seed not in seeds:
                raise ValueError(f"arms: seed {seed} of {arm.name!r} is not in {key} {seeds}; add it there")
