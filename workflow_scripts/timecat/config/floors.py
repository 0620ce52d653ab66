"""The typed config of reference accuracies for each target: the blocks `floors` and `ceiling`."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.blocks import Block, Name, Percent, PositiveInt

PIXELS = "pixels"  # name of the backbone that the block `floors` adds to the study


class Floors(Block):
    """Floors: accuracies that are reached without training of backbones.
    An arm's floor on a target is the accuracy of the same arm with untrained networks (their batch-norm statistics are
    computed on training images). A target's floor is the accuracy of a random projection of the pixels."""

    seeds: PositiveInt | None = Field(
        None,
        description="number of seeds in the floor of an arm, taken from the beginning of the arm's seeds; at least the "
        "number of seeds in one replicate is used (default: all seeds of the arm)",
    )
    projection: PositiveInt | None = Field(
        512,
        description="number of features of the random projection, which is the backbone `pixels` of the study. Images "
        "larger than 32 px are resized to 32 px first. null: no random projection",
    )


class Ceiling(Block):
    """Ceiling: the accuracy that can be reached on each target.
    It is measured with an arm, for example an arm with `transfer: direct`, or given as a known number."""

    arm: (
        Annotated[
            Annotated[Name, Tag("name")] | Annotated[Arm, Tag("arm")],
            Discriminator(lambda value: "name" if isinstance(value, str) else "arm"),
        ]
        | None
    ) = Field(
        None,
        description="arm whose accuracies are the ceiling: an arm with the keys of `arms`, or the name of an arm of a "
        "table (default: none)",
    )
    known: dict[Name, Percent] = Field(
        {},
        description="known ceilings by target, accuracies in percent; they replace the arm's accuracies on these "
        "targets",
    )

    @property
    def arm_name(self) -> str | None:
        """Name of the ceiling's arm, or None."""
        return self.arm.name if isinstance(self.arm, Arm) else self.arm
