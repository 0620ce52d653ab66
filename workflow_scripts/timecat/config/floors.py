"""The typed config of what a number is worth: the blocks `floors` and `ceiling`."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.blocks import Block, Name, Percent, PositiveInt

PIXELS = "pixels"  # the backbone that the block adds to a study's own


class Floors(Block):
    """What untrained networks reach: for each arm and target the arm with its networks as they are initialised (batch-norm
    statistics are computed on training images), and for each target a random projection of the pixels."""

    seeds: PositiveInt | None = Field(
        None,
        description="networks that the floor of an arm is made of: the first of its seeds, and at least as many as it has "
        "members (default: all of its seeds)",
    )
    projection: PositiveInt | None = Field(
        512,
        description="features of the random projection; a study that has it has a backbone `pixels`. Images of more than 32 "
        "px are reduced to that side. null: none",
    )


class Ceiling(Block):
    """What can be reached on each target: by one arm, such as one with `transfer: direct`, or as others have measured it."""

    arm: (
        Annotated[
            Annotated[Name, Tag("name")] | Annotated[Arm, Tag("arm")],
            Discriminator(lambda value: "name" if isinstance(value, str) else "arm"),
        ]
        | None
    ) = Field(None, description="an arm as in `arms`, or the name of one that stands in a table")
    known: dict[Name, Percent] = Field(
        {}, description="accuracies by target, in percent, that take the place of the arm's on these targets"
    )

    @property
    def arm_name(self) -> str | None:
        """The name of the arm, if there is one."""
        return self.arm.name if isinstance(self.arm, Arm) else self.arm
