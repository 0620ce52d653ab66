"""The typed config of how replicates are formed from seeds: the block `replicates`."""

from typing import Literal

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, PositiveInt, Seed

Design = Literal["disjoint", "cyclic", "all"]


class Replicates(Block):
    """Design of replicates, for arms that neither set `replicates` nor inherit it from a table."""

    design: Design = Field(
        "disjoint",
        description="`disjoint`: consecutive groups of seeds that share no seed. `cyclic`: as many groups as seeds, "
        "each starting one seed later than the previous group. `all`: every possible group, but at most `most` groups. "
        "Replicates that share seeds cost only further probes, because features are kept. Arms that train backbones on "
        "the target use `disjoint` unless their own key `replicates` sets a design",
    )
    most: PositiveInt = Field(
        20,
        description="with `design: all`: largest number of groups; if there are more, groups are drawn at random such "
        "that all seeds are about equally frequent",
    )
    seed: Seed = Field(0, description="with `design: all`: seed of the random choice of groups")
