"""The typed config of the table of accuracy against dimensions: the block `width`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from pydantic import Field

from workflow_scripts.timecat.config.arms import Arm, Targets
from workflow_scripts.timecat.config.blocks import Ascending, Block, Name, PositiveInt, WithoutRepeats
from workflow_scripts.timecat.config.probe import Method, Reduce


class WidthTable(Block):
    """A table of accuracy against dimensions, for arms whose features are reduced to each of several dimensions.
    Each reduced arm has a name of the form ARM_METHODn, such as `cat4_pca64`, which other tables may list; it costs one
    more probe."""

    targets: Targets | None = Field(
        None,
        description="data sets of the table, with one panel of the figure for each (default: the `targets` of the "
        "study)",
    )
    arms: Annotated[list[Name], Field(min_length=1), WithoutRepeats] | None = Field(
        None,
        description="names of arms to reduce; each must have a probe on all of its features (default: all such arms "
        "of table 2)",
    )
    dimensions: Annotated[list[PositiveInt], Field(min_length=1), Ascending] = Field(
        [8, 16, 32, 64, 128],
        description="numbers of dimensions after the reduction, ascending; numbers larger than an arm's number of "
        "features are left out",
    )
    methods: Annotated[list[Method], Field(min_length=1), WithoutRepeats] = Field(
        ["pca", "random"], description="methods of reduction: `pca`, `random` or both, as for `reduce` of an arm"
    )

    def names(self, table2: Iterable[Arm]) -> list[str]:
        """Return the names of the arms that are reduced.

        table2: arms of table 2.
        """
        return self.arms or [arm.name for arm in table2 if arm.transfer == "probe" and arm.reduce is None]

    def shows(self, arm: Arm, table2: Iterable[Arm]) -> bool:
        """Return whether an arm, reduced or not, is a row of the table."""
        names = self.names(table2)
        return arm.name in (names if arm.reduce is None else [_name(name, arm.reduce) for name in names])

    def reduced(self, arm: Arm, columns: int | None) -> list[Arm]:
        """Return an arm reduced by each method to each number of dimensions.

        columns: number of features of the arm, or None if it is unknown; larger numbers of dimensions are left out.
        """
        kept = [each for each in self.dimensions if columns is None or each <= columns]
        made = [Reduce(method=method, dimensions=each) for method in self.methods for each in kept]
        return [
            arm.model_copy(update={"name": _name(arm.name, reduce), "reduce": reduce, "published": {}, "against": []})
            for reduce in made
        ]


def _name(whole: str, reduce: Reduce) -> str:
    """Return the name of a reduced arm."""
    return f"{whole}_{reduce.method}{reduce.dimensions}"


def reduced_arms(
    table: WidthTable | None, arms: Mapping[str, Arm], table2: Iterable[Arm], columns: Callable[[Arm], int | None]
) -> dict[str, list[Arm]]:
    """Return the reduced arms of a study, by the name of the arm that is reduced.

    arms: all arms that are not reduced, by name. columns: function that returns an arm's number of features, or None.
    Raise ValueError if a name belongs to no arm, or to an arm without a probe on all of its features.
    """
    found = dict[str, list[Arm]]()
    for name in table.names(table2) if table else ():
        if name not in arms:
            raise ValueError(
                f"width.arms: {name!r} is not one of the arms ({', '.join(arms)}); define it or correct the name"
            )
        arm = arms[name]
        if arm.transfer != "probe" or arm.reduce is not None:
            raise ValueError(f"width.arms: {name!r} has no probe on all of its features; remove it from the list")
        assert table is not None
        found[name] = table.reduced(arm, columns(arm))
    return found
