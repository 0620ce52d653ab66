"""The typed config of arms, which are rows of tables, and of the tables in addition to table 2.

All tables share one set of arms: a name means the same arm in every table, and each arm is probed once.
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
    TransferChanges = Block  # the class is created at import time
else:
    TransferChanges = changes_of(Transfer, "TransferChanges")
TRAINED = ("finetune", "direct")  # values of `transfer` that train backbones, with the settings in blocks of that name

Steps = Annotated[int, Field(ge=0)]
Seeds = Annotated[list[Seed], Field(min_length=1), WithoutRepeats]
Targets = Annotated[list[Name], Field(min_length=1), WithoutRepeats]
TableBlock = Literal["table1", "controls", "families", "gap", "genomics", "spurious"]
TABLES: tuple[TableBlock, ...] = (
    "table1",
    "controls",
    "families",
)  # blocks whose type is ArmTable; their result files have the same names
GAP_TABLES: tuple[TableBlock, ...] = ("gap", "genomics")  # blocks whose type is config.gap.GapTable
OTHER_TABLES: tuple[TableBlock, ...] = (
    *GAP_TABLES,
    "spurious",
)  # blocks that have the keys of ArmTable but are made by separate rules


class Arm(Block):
    """A row of a table: `members` checkpoints, each trained for `steps` steps, with their features concatenated."""

    name: Name = Field(description="name of the arm in tables and file names")
    members: PositiveInt = Field(description="number of checkpoints whose features are concatenated")
    steps: Steps | list[Steps] | None = Field(
        None,
        description="optimizer steps of pretraining: one number for all members, or a list with one number per member "
        "(0: the untrained network). Required, except with `transfer: direct`, which does no pretraining",
    )
    source: Name | None = Field(
        None,
        description="data set that the members are pretrained on (default: the `source` of the arm's table, else of "
        "the study)",
    )
    pretrained_on: Literal["source", "target"] = Field(
        "source",
        description="`source`: the members are pretrained on `source`. `target`: they are pretrained on each target "
        "itself, with the same recipe and for the same number of steps, so that only the pretraining data differ from "
        "an arm with `pretrained_on: source`",
    )
    backbone: Name | None = Field(
        None,
        description="backbone of the members, a key of `backbones` (default: the `backbone` of the arm's table, else "
        "of the study)",
    )
    transfer: Literal["probe", "finetune", "direct", "reweight"] = Field(
        "probe",
        description="way in which the members are used on a target. `probe`: a linear probe on frozen backbones. "
        "`finetune`: pretrained backbones and a linear layer are trained together (block `finetune`). `direct`: "
        "backbones are trained on the target from random initial weights (block `direct`). `reweight`: a last layer "
        "on frozen backbones is trained on balanced groups (block `reweight`)",
    )
    solver: Solver | None = Field(
        None, description="with `transfer: probe`: solver of the arm's probes (default: `probe.solver`)"
    )
    reduce: Reduce | None = Field(
        None,
        description="with `transfer: probe`: reduction of the concatenated features before the probe, for example "
        "{method: pca, dimensions: 64}, to compare arms at the same width. It costs only one more probe (default: no "
        "reduction)",
    )
    training: TransferChanges | None = Field(
        None,
        description="with `transfer: finetune` or `direct`: changes to the block `finetune` or `direct` for this arm, "
        "for example {epochs: 90, lr_milestones: [30, 60, 80]}",
    )
    one_seed: bool = Field(
        False,
        description="whether all members of a replicate have the same seed. Each seed is then one replicate. The "
        "members are copies of one checkpoint, or, with a list of `steps`, snapshots of one run",
    )
    seeds: Seeds | None = Field(
        None,
        description="seeds from which the replicates are formed (default: `seeds` of the arm's table, else "
        "`pretrain.seeds`)",
    )
    replicates: (
        Annotated[
            Annotated[Design, Tag("design")] | Annotated[list[list[Seed]], Field(min_length=1), Tag("list")],
            Discriminator(lambda value: "list" if isinstance(value, list) else "design"),
        ]
        | None
    ) = Field(
        None,
        description="design of the replicates, a value of `replicates.design`, or the replicates themselves as lists "
        "of seeds (default: `replicates` of the arm's table, else `replicates.design`)",
    )
    published: dict[Name, Percent] = Field(
        {}, description="published accuracies by data set, in percent; tables print them beside the measured ones"
    )
    against: Annotated[list[Name], WithoutRepeats] = Field(
        [],
        description="names of further rows that the arm is compared with in addition to the baseline, in tables of "
        "accuracies (table 2, `table1`, `controls`, `families`). The table reports the arm minus each of these rows; "
        "p-values are adjusted over these comparisons and the comparisons with the baseline together. Only the table "
        "that defines the arm shows these comparisons",
    )

    @property
    def listed_replicates(self) -> list[list[int]]:
        """Seeds of each replicate if the config lists them, else an empty list."""
        return self.replicates if isinstance(self.replicates, list) else []

    def design(self, usual: Design | None) -> Design | None:
        """Return the design of the replicates of an arm that does not list them.

        usual: design of the arm's table or study, used if the arm does not set `replicates`. An arm that trains
        backbones for each replicate ignores ``usual`` and gets None, so that only the arm's key can make it more
        expensive.
        """
        if isinstance(self.replicates, str):
            return self.replicates
        return None if self.transfer in TRAINED else usual

    @property
    def all_steps(self) -> list[int]:
        """Optimizer steps of each member; empty for an arm without pretraining."""
        if self.steps is None:
            return []
        return self.steps if isinstance(self.steps, list) else [self.steps] * self.members

    @property
    def milestones(self) -> list[int]:
        """Steps at which the arm needs checkpoints of a pretraining chain, ascending and without 0."""
        return sorted({step for step in self.all_steps if step > 0})

    @model_validator(mode="after")
    def _training_where_trained(self) -> Self:
        if self.training is not None and self.transfer not in TRAINED:
            raise ValueError(
                f"training: {self.name!r} has `transfer: {self.transfer}`, which trains no backbone; remove the key, "
                "or choose `transfer: finetune` or `direct`"
            )
        return self

    @model_validator(mode="after")
    def _probe_where_probed(self) -> Self:
        for key in ("solver", "reduce"):
            if getattr(self, key) is not None and self.transfer != "probe":
                raise ValueError(
                    f"{key}: {self.name!r} has `transfer: {self.transfer}`, which has no probe; remove the key, or "
                    "choose `transfer: probe`"
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
            raise ValueError("steps: the key is missing; add it (the optimizer steps of each member)")
        if isinstance(self.steps, list) and len(self.steps) != self.members:
            raise ValueError(
                f"steps: {self.steps} has {len(self.steps)} numbers and {self.name!r} has {self.members} members; "
                "give one number per member, or a single number for all"
            )
        return self


class ArmTable(Block):
    """A table of arms in addition to table 2.
    Each row is an arm that is defined in the block, or the name of an arm of another table."""

    seeds: Seeds | None = Field(
        None,
        description="seeds from which the replicates of arms defined in this block are formed (default: "
        "`pretrain.seeds`)",
    )
    source: Name | None = Field(
        None,
        description="data set on which arms defined in this block are pretrained (default: the `source` of the study)",
    )
    backbone: Name | None = Field(
        None, description="backbone of arms defined in this block (default: the `backbone` of the study)"
    )
    replicates: Design | None = Field(
        None,
        description="design of the replicates of arms defined in this block (default: `replicates.design`). Arms that "
        "train backbones on the target keep disjoint replicates, unless their key `replicates` sets a different design",
    )
    targets: Targets | None = Field(
        None, description="data sets of the table, in the order of its columns (default: the `targets` of the study)"
    )
    arms: Annotated[
        list[
            Annotated[
                Annotated[Name, Tag("name")] | Annotated[Arm, Tag("arm")],
                Discriminator(lambda value: "name" if isinstance(value, str) else "arm"),
            ]
        ],
        Field(min_length=1),
    ] = Field(
        description="rows of the table, in order: each is an arm with the keys of `arms`, or the name of an arm of "
        "another table"
    )

    @property
    def own(self) -> list[Arm]:
        """Arms that are defined in this block, completed with the block's seeds, source, backbone and replicates."""
        shared = {key: getattr(self, key) for key in ("seeds", "source", "backbone")}
        return [
            _completed(arm, shared | {"replicates": arm.design(self.replicates)})
            for arm in self.arms
            if isinstance(arm, Arm)
        ]

    @property
    def names(self) -> list[str]:
        """Names of the arms in the rows of the table, in order."""
        return [arm.name if isinstance(arm, Arm) else arm for arm in self.arms]


class AccuracyTable(ArmTable):
    """A table of arms that are compared with a baseline arm."""

    baseline: Name | None = Field(
        None, description="name of the arm with which all other rows are compared (default: the first row)"
    )

    @model_validator(mode="after")
    def _baseline_is_a_row(self) -> Self:
        check_baseline(self.baseline, self.names)
        return self


def check_baseline(baseline: str | None, names: list[str]) -> None:
    """Raise ValueError if a baseline is not a row of its table."""
    if baseline is not None and baseline not in names:
        raise ValueError(
            f"baseline: {baseline!r} is not one of the rows ({', '.join(names)}); add such an arm or correct the name"
        )


def check_against(key: str, arms: Iterable[Arm], names: list[str], baseline: str) -> None:
    """Raise ValueError if a name in `against` of an arm is not allowed.

    The name must be a row of the arm's table and not the arm itself, and the comparison must not exist already. key:
    config key of the arms, with which the message begins. names: names of the table's rows.
    """
    compared = set[frozenset[str]]()
    for arm in arms:
        for other in arm.against:
            named = f"{key}: `against` of {arm.name!r} names {other!r}, "
            if other not in names:
                raise ValueError(
                    f"{named}which is not one of the rows ({', '.join(names)}); add such an arm or correct the name"
                )
            if other == arm.name:
                raise ValueError(f"{named}which is the arm itself; remove it")
            pair = frozenset((arm.name, other))
            if baseline in pair:
                raise ValueError(
                    f"{named}and {baseline!r} is the baseline, which all rows are compared with; remove it"
                )
            if pair in compared:
                raise ValueError(f"{named}whose `against` names {arm.name!r}; remove one of the two")
            compared.add(pair)


def _completed(arm: Arm, shared: dict[str, Any]) -> Arm:
    """Return an arm in which each key that it leaves out has the value of its table."""
    return arm.model_copy(update={key: value for key, value in shared.items() if getattr(arm, key) is None})


def collected_arms(
    arms: list[Arm],
    tables: Mapping[str, ArmTable],
    ceiling: Arm | str | None = None,
    reduced: Callable[[Mapping[str, Arm]], Iterable[Arm]] = lambda arms: (),
) -> dict[str, Arm]:
    """Return all arms of a study by name.

    The order is: arms of table 2 (``arms``), of the other tables, of the ceiling, and reduced arms. reduced: function
    that returns the reduced arms, given the arms so far. Raise ValueError, whose message begins with the key, if a
    table lists a name twice, if two different arms have the same name, or if no arm has a name that is listed.
    """
    rows = {"arms": [arm.name for arm in arms]} | {f"{name}.arms": table.names for name, table in tables.items()}
    for key, names in rows.items():
        if (name := repeated(names)) is not None:
            raise ValueError(f"{key}: duplicate arm name {name!r}; give each arm another name or remove one")
    found = {arm.name: arm for arm in arms}
    place = dict.fromkeys(found, "arms")
    for name, table in tables.items():
        for arm in table.own:
            if found.setdefault(arm.name, arm) != arm:
                raise ValueError(
                    f"{name}.arms: {arm.name!r} is already the name of a different arm in `{place[arm.name]}`; give "
                    "it another name, or write only the name to use that arm"
                )
            place.setdefault(arm.name, f"{name}.arms")
    if isinstance(ceiling, Arm) and found.setdefault(ceiling.name, ceiling) != ceiling:
        raise ValueError(
            f"ceiling.arm: {ceiling.name!r} is already the name of a different arm in `{place[ceiling.name]}`; give "
            "it another name"
        )
    for arm in reduced(found):
        if found.setdefault(arm.name, arm) != arm:
            raise ValueError(
                f"width: {arm.name!r}, the name of a reduced arm, is also a different arm in "
                f"`{place.get(arm.name, 'ceiling.arm')}`; rename the arm there"
            )
    named = [(f"{name}.arms", row) for name, table in tables.items() for row in table.names]
    named += [("ceiling.arm", ceiling)] if isinstance(ceiling, str) else []
    _check_named(named, found)
    return found


def _check_named(named: Iterable[tuple[str, str]], arms: Mapping[str, Arm]) -> None:
    """Raise ValueError if one of the names does not belong to an arm.

    named: pairs of a config key and a name.
    """
    for key, row in named:
        if row not in arms:
            raise ValueError(
                f"{key}: {row!r} is not one of the arms ({', '.join(arms)}); define it or correct the name"
            )


def check_replicates(arm: Arm, seeds: list[int], key: str) -> None:
    """Raise ValueError if the replicates of an arm cannot be formed from ``seeds``.

    key: config key of the seeds, for the message.
    """
    needed = 1 if arm.one_seed else arm.members
    if not arm.listed_replicates and needed > len(seeds):
        raise ValueError(
            f"arms: {arm.name!r} needs {needed} seeds and {key} has {len(seeds)}; add {needed - len(seeds)} or lower "
            "its members"
        )
    # A seed may be repeated inside a replicate: copies of one checkpoint are a control.
    if (replicate := repeated(arm.listed_replicates)) is not None:
        raise ValueError(
            f"arms: the replicate {replicate} of {arm.name!r} is listed twice and would count twice; remove one"
        )
    for replicate in arm.listed_replicates:
        if len(replicate) != arm.members:
            raise ValueError(
                f"arms: {arm.name!r} has {arm.members} members, but its replicate {replicate} has {len(replicate)} "
                "seeds; list as many seeds as members"
            )
        if arm.one_seed and len(set(replicate)) > 1:
            raise ValueError(
                f"arms: {arm.name!r} has `one_seed`, but its replicate {replicate} has {len(set(replicate))} "
                "different seeds; repeat one seed, or leave `replicates` out"
            )
        for seed in replicate:
            if seed not in seeds:
                raise ValueError(f"arms: seed {seed} of {arm.name!r} is not in {key} {seeds}; add it there")
