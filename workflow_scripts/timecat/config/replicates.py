"""The typed config of how seeds make replicates: the block `replicates`."""

from typing import Literal

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, PositiveInt, Seed

Design = Literal["disjoint", "cyclic", "all"]


class Replicates(Block):
    """How an arm's replicates are made of its seeds, where it lists none and its table names no design."""

    design: Design = Field(
        "disjoint",
        description="`disjoint`: groups of seeds in their order, none of which shares a seed; `cyclic`: as many replicates as "
        "seeds, each begins one seed later; `all`: every group of seeds, at most `most` of them. Replicates that share seeds "
        "cost probes alone, because features are kept; arms that train backbones on the target stay `disjoint` unless they "
        "say otherwise themselves",
    )
    most: PositiveInt = Field(
        20,
        description="with `all`: how many groups at most; of more, some are drawn in which all seeds are as frequent",
    )
    seed: Seed = Field(0, description="with `all`: draws the groups")
