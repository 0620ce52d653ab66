"""The typed config of accuracy against dimensions: the block `width`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.arms import Arm, Targets
from workflow_scripts.timecat.config.blocks import Ascending, Block, Name, PositiveInt, WithoutRepeats
from workflow_scripts.timecat.config.probe import Method, Reduce


class WidthTable(Block):
    """Arms whose features are reduced to each of several dimensions: accuracy against dimensions. Each reduced arm is called
    ARM_METHODn, such as `cat4_pca64`, and other tables may name it; it costs a probe and nothing else."""

    targets: Targets | None = Field(None, description="its data sets, a panel for each (default: the study's targets)")
    arms: Annotated[list[Name], Field(min_length=1), WithoutRepeats] | None = Field(
        None, description="names of arms that are probed on all of their features (default: those of table 2)"
    )
    dimensions: Annotated[list[PositiveInt], Field(min_length=1), Ascending] = Field(
        [8, 16, 32, 64, 128],
        description="what features are reduced to, ascending; an arm with fewer features leaves larger ones out",
    )
    methods: Annotated[list[Method], Field(min_length=1), WithoutRepeats] = Field(
        ["pca", "random"], description="how they are reduced, as `reduce` of an arm says"
    )

    def names(self, table2: Iterable[Arm]) -> list[str]:
        """The names of the arms that are reduced; table2: the arms of table 2."""
        return self.arms or [arm.name for arm in table2 if arm.transfer == "probe" and arm.reduce is None]

    def shows(self, arm: Arm, table2: Iterable[Arm]) -> bool:
        """Whether an arm is a row of the table, whole or reduced."""
        names = self.names(table2)
        return arm.name in (names if arm.reduce is None else [_name(name, arm.reduce) for name in names])

    def reduced(self, arm: Arm, columns: int | None) -> list[Arm]:
        """An arm by each method at each of the dimensions; columns: its features, None where that is not known."""
        kept = [each for each in self.dimensions if columns is None or each <= columns]
        made = [Reduce(method=method, dimensions=each) for method in self.methods for each in kept]
        return [
            arm.model_copy(update={"name": _name(arm.name, reduce), "reduce": reduce, "published": {}, "against": []})
            for reduce in made
        ]


def _name(whole: str, reduce: Reduce) -> str:
    """What a reduced arm is called."""
    return f"{whole}_{reduce.method}{reduce.dimensions}"


def reduced_arms(
    table: WidthTable | None, arms: Mapping[str, Arm], table2: Iterable[Arm], columns: Callable[[Arm], int | None]
) -> dict[str, list[Arm]]:
    """The reduced arms of a study by the name of the whole one. arms: all others by name. columns: the features of an arm.

    ValueError where a name is of no arm, or of one that has no probe on all of its features."""
    found = dict[str, list[Arm]]()
    for name in table.names(table2) if table else ():
        if name not in arms:
            raise ValueError(
                f"width.arms: {name!r} is not one of the arms ({', '.join(arms)}); define it or correct it"
            )
        arm = arms[name]
        if arm.transfer != "probe" or arm.reduce is not None:
            raise ValueError(f"width.arms: {name!r} has no probe on all of its features; leave it out")
        assert table is not None
        found[name] = table.reduced(arm, columns(arm))
    return found
