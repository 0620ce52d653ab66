"""A study as arms: those of all its tables, and the checkpoints that each is made of."""

from functools import cached_property

from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.grid import grid_arm_name
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.publications import Published


class StudyArms:
    """The arms of a config."""

    def __init__(self, config: Config, files: list[str] = ()):
        """files: of the config, for messages.

        Raises UserError if published weights are too few for an arm, or an arm has a name of the grid's.
        """
        self.config = config
        self.publications = {}  # by backbone
        try:
            used = {self.backbone_of(arm) for arm in config.all_arms.values()}
            for name, block in config.publications.items():
                if name not in used:
                    continue
                key = config.publication_key(name)
                self.publications[name] = Published(block, config.pretrain.seeds, self.milestones_of(name), key)
            for arm in config.all_arms.values():
                if self.is_published(arm):
                    self._check_published(arm)
            self.arms = self._all_arms()
        except UserError as error:
            where = f"{', '.join(map(str, files))}: " if files else ""
            raise UserError(f"{where}{error}") from None

    def _check_published(self, arm: Arm) -> None:
        needed = 1 if arm.one_seed else arm.members
        for step in sorted(set(arm.all_steps)):
            self.publications[self.backbone_of(arm)].check_arm(arm.name, step, needed, arm.replicates)
        if not self.replicates(arm):
            raise UserError(
                f"`arms`: {arm.name!r} needs {needed} of the seeds {arm.seeds or self.config.pretrain.seeds} with a "
                f"published checkpoint at each of its steps, and there are fewer; change its seeds or steps"
            )

    def _all_arms(self) -> dict[str, Arm]:
        """All arms by name: of table 2, of the tables beside it, and those of the grid that no table has."""
        arms = self.config.all_arms
        for arm in self.grid_arms.values():
            if arms.setdefault(arm.name, arm) != arm:
                raise UserError(f"`arms`: {arm.name!r} is what `grid` calls an arm of its own; give yours another name")
        return arms

    @cached_property
    def grid_arms(self) -> dict[tuple[int, int], Arm]:
        """The arms of the grid by (members, steps): those of tables where they are the same, replicate by replicate.

        With published weights, of those pairs that have a replicate.
        """
        grid, found = self.config.grid, {}
        if grid is None:
            return found
        for members in grid.members:
            for steps in grid.steps or self.milestones:
                arm = Arm(name=grid_arm_name(members, steps), members=members, steps=steps, seeds=grid.seeds)
                if replicates := self.replicates(arm)[: grid.replicates]:
                    arm = arm.model_copy(update={"replicates": replicates})
                    known = (other for other in self.config.all_arms.values() if self._stands_for(other, arm))
                    found[members, steps] = next(known, arm)
        return found

    def _stands_for(self, arm: Arm, cell: Arm) -> bool:
        """Whether an arm of a table is the probe of a cell of the grid: of the same features, replicate by replicate; it may
        have more replicates where the grid itself leaves some out."""
        if arm.transfer != "probe" or self.trained_on(arm) != self.trained_on(cell):
            return False
        found, wanted = self.checkpoints_of(arm), self.checkpoints_of(cell)
        return found == wanted or (self.config.grid.replicates is not None and found[: len(wanted)] == wanted)

    def rows_of(self, table: str) -> list[Arm]:
        """The arms of a table of TABLES, in order. UserError where the study has none."""
        block = self.config.tables.get(table)
        if block is None:
            raise UserError(
                f"the study has no block `{table}`; add it to the config (config/README.md), or ask for less"
            )
        return [self.arms[name] for name in block.names]

    def targets_of(self, table: str | None = None) -> list[str]:
        """The data sets of a table beside table 2, or of table 2, in the order of its columns."""
        block = self.config.grid if table == "grid" else self.config.tables.get(table)
        return (block.targets if block is not None else None) or self.config.targets

    def source_of_table(self, table: str | None = None) -> str:
        """The data set that the arms of a table beside table 2, or of table 2, are pretrained on."""
        block = self.config.tables.get(table)
        return (block.source if block is not None else None) or self.config.source

    def backbone_of(self, arm: Arm) -> str:
        """The name of its backbone."""
        return arm.backbone or self.config.backbone

    def source_of(self, arm: Arm) -> str:
        """The data set that it is pretrained on, by name."""
        return arm.source or self.config.source

    def trained_on(self, arm: Arm) -> tuple[str, str]:
        """(source, backbone): what its chains of checkpoints belong to."""
        return self.source_of(arm), self.backbone_of(arm)

    def is_published(self, arm: Arm) -> bool:
        """Whether its members are imported, and not pretrained."""
        if arm.steps is None:
            return False
        return self.source_of(arm) == self.config.source and self.backbone_of(arm) in self.config.publications

    def milestones_of(self, backbone: str, source: str | None = None) -> list[int]:
        """Steps at which every chain of a backbone on a source leaves a checkpoint, ascending: those that its arms ask for,
        and of the study's source and backbone those of pretrain.milestones and grid.steps."""
        chain = (source or self.config.source, backbone)
        arms = [arm for arm in self.config.all_arms.values() if self.trained_on(arm) == chain]
        steps = {step for arm in arms for step in arm.all_steps}
        if chain == (self.config.source, self.config.backbone):
            steps |= set(self.config.pretrain.milestones)
            steps |= set(self.config.grid.steps or [] if self.config.grid else [])
        return sorted(steps)

    @property
    def milestones(self) -> list[int]:
        """Those of the study's backbone."""
        return self.milestones_of(self.config.backbone)

    @property
    def seeds(self) -> list[int]:
        """All seeds that an arm may be made of: the study's, then those that single arms, tables and the grid add."""
        added = [seed for arm in self.arms.values() for replicate in self.replicates(arm) for seed in replicate]
        return list(dict.fromkeys([*self.config.pretrain.seeds, *added]))

    def replicates(self, arm: Arm) -> list[list[int]]:
        """The seeds of each replicate: as listed, else disjoint groups of the arm's seeds in their order; each seed by
        itself, once for each member, where all members are of one.

        With published weights, of those seeds whose checkpoints exist at the arm's steps.
        """
        if arm.replicates is not None:
            return arm.replicates
        seeds, k = arm.seeds or self.config.pretrain.seeds, arm.members
        if self.is_published(arm):
            published = self.publications[self.backbone_of(arm)]
            for step in set(arm.all_steps):
                seeds = [seed for seed in seeds if seed in published.seeds_at(step)]
        if arm.one_seed:
            return [[seed] * k for seed in seeds]
        return [seeds[first : first + k] for first in range(0, len(seeds) - k + 1, k)]

    def checkpoints_of(self, arm: Arm) -> list[list[tuple[int, int]]]:
        """(seed, step) of each member of each replicate. Of an arm that is pretrained."""
        return [list(zip(replicate, arm.all_steps, strict=True)) for replicate in self.replicates(arm)]

    def member_paths(self, arm: Arm, kind: str) -> list[str]:
        """results/KIND/SOURCE/BACKBONE/seedSEED/stepSTEP of every member, replicate after replicate."""
        start = f"results/{kind}/{'/'.join(self.trained_on(arm))}"
        return [f"{start}/seed{seed}/step{step}" for replicate in self.checkpoints_of(arm) for seed, step in replicate]
