"""Arms of all tables of a study, with their replicates and checkpoints."""

from collections.abc import Iterator, Mapping
from functools import cached_property

from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.grid import grid_arm_name
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study import designs
from workflow_scripts.timecat.study.chains import Chains
from workflow_scripts.timecat.study.floors import Floors
from workflow_scripts.timecat.study.publications import Publications
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey


class Arms(Mapping[str, Arm]):
    """All arms of a study by name: arms of its tables, arms of the grid that no table has, and all floors.

    floors: name -> arm, for the arms that the study adds itself (untrained arms and a projection of the pixels).

    Raise UserError if an arm needs more published weights than exist, or if an arm and a different arm of the grid have
    the same name.
    """

    def __init__(self, config: Config, chains: Chains, publications: Publications):
        self._config, self._chains, self._publications = config, chains, publications
        self._floors = Floors(config, chains)
        for arm in config.all_arms.values():
            if chains.is_published(arm):
                self._check_published(arm)
        self._by_name = config.all_arms
        for arm in self.grid.values():
            if self._by_name.setdefault(arm.name, arm) != arm:
                raise UserError(
                    f"`arms`: {arm.name!r} is also the name of a different arm that `grid` makes; rename the arm"
                )
        own = [(arm, self.replicates(arm)) for arm in self._by_name.values()]
        self.floors = {floor.name: floor for floor in self._floors.all(own)}
        self._by_name |= self.floors

    def __getitem__(self, name: str) -> Arm:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def seeds(self) -> list[int]:
        """Seeds of all arms: the seeds of the study, then the seeds that single arms, tables and the grid add."""
        added = [seed for arm in self.values() for replicate in self.replicates(arm) for seed in replicate]
        return list(dict.fromkeys([*self._config.pretrain.seeds, *added]))

    def replicates(self, arm: Arm, most: int | None = None) -> list[list[int]]:
        """Return the seeds of each replicate of an arm, at most ``most`` replicates.

        If the config lists the replicates of the arm, these are returned. Otherwise, its design forms groups of its
        seeds; with `one_seed`, each seed is one replicate, repeated for each member. With published weights, only
        seeds whose checkpoints exist at all of the arm's steps are used.
        """
        if listed := arm.listed_replicates:
            return listed[:most]
        seeds, k = arm.seeds or self._config.pretrain.seeds, arm.members
        if self._chains.is_published(arm):
            published = self._publications[self._config.backbone_of(arm)]
            for step in arm.milestones:
                seeds = [seed for seed in seeds if seed in published.seeds_at(step)]
        if arm.one_seed:
            return [[seed] * k for seed in seeds][:most]
        block = self._config.replicates
        match arm.design(block.design):
            case "all":
                return designs.every(seeds, k, min(block.most, most or block.most), block.seed)
            case "cyclic":
                return designs.cyclic(seeds, k)[:most]
            case _:
                return designs.disjoint(seeds, k)[:most]

    def checkpoints_of(self, arm: Arm, target: str) -> list[list[CheckpointKey]]:
        """Return the checkpoints of a pretrained arm for a target, as a list of members for each replicate."""
        chain = self._chains.trained_on(arm, target)
        return [
            [CheckpointKey(*chain, seed, step) for seed, step in zip(replicate, arm.all_steps, strict=True)]
            for replicate in self.replicates(arm)
        ]

    def solver(self, arm: Arm) -> str | None:
        """Return the solver of an arm's probes ("sgd" or "lbfgs"), or None for an arm without probes."""
        return (arm.solver or self._config.probe.solver) if arm.transfer == "probe" else None

    def are_alike(self, arm: Arm, other: Arm) -> bool:
        """Return whether two arms have the same features, replicate by replicate.

        If one arm has more replicates, the additional replicates are not compared.
        """
        if arm.reduce != other.reduce or self._chains.shared_by(arm) != self._chains.shared_by(other):
            return False
        return all(own == its for own, its in zip(self._members(arm), self._members(other)))

    def _members(self, arm: Arm) -> list[list[tuple[int, int]]]:
        """Return (seed, step) of each member of each replicate of an arm."""
        return [list(zip(replicate, arm.all_steps, strict=True)) for replicate in self.replicates(arm)]

    def cell(self, arm: str, data_set: str) -> CellKey:
        """Return the cell of an arm on a data set."""
        return CellKey(self._config.source_of(self[arm], data_set), data_set, arm)

    def floor_of(self, arm: Arm) -> Arm | None:
        """Return the floor of an arm: the same arm with untrained networks.

        Return None if the arm is not pretrained, or if the study has no floors.
        """
        return self._floors.of(arm, self.replicates(arm))

    @property
    def projection(self) -> Arm | None:
        """Arm whose features are a random projection of the pixels, or None if the study has none."""
        return self._floors.projection

    @cached_property
    def grid(self) -> dict[tuple[int, int], Arm]:
        """Arms of the grid by (members, steps).

        Where an arm of a table has the same features as a cell of the grid, the arm of the table is used. With
        published weights, pairs (members, steps) for which no replicate exists are left out.
        """
        grid, found = self._config.grid, dict[tuple[int, int], Arm]()
        if grid is None:
            return found
        for members in grid.members:
            for steps in grid.steps or self._chains.milestones:
                arm = Arm(name=grid_arm_name(members, steps), members=members, steps=steps, seeds=grid.seeds)
                if replicates := self.replicates(arm, grid.replicates):
                    arm = arm.model_copy(update={"replicates": replicates})
                    alike = self._config.all_arms.values()
                    known = (other for other in alike if self._stands_for(other, arm, grid.replicates))
                    found[members, steps] = next(known, arm)
        return found

    def _stands_for(self, arm: Arm, cell: Arm, most: int | None) -> bool:
        """Return whether an arm of a table can be used for a cell of the grid.

        The arm must be a probe with the solver and the features of the cell, replicate by replicate. If the grid limits
        the number of replicates (``most`` is not None), the arm may have more replicates than the cell.
        """
        if arm.transfer != "probe" or arm.reduce or self._chains.shared_by(arm) != self._chains.shared_by(cell):
            return False
        if self.solver(arm) != self._config.probe.solver:
            return False
        found, wanted = self._members(arm), self._members(cell)
        return found == wanted or (most is not None and found[: len(wanted)] == wanted)

    def _check_published(self, arm: Arm) -> None:
        """Raise UserError if published weights are too few for an arm."""
        needed = 1 if arm.one_seed else arm.members
        published = self._publications[self._config.backbone_of(arm)]
        for step in arm.milestones:
            published.check_arm(arm.name, step, needed, arm.listed_replicates)
        if not self.replicates(arm):
            raise UserError(
                f"`arms`: {arm.name!r} needs {needed} of the seeds {arm.seeds or self._config.pretrain.seeds} to have "
                f"a published checkpoint at each of its steps, but fewer seeds do; change the arm's seeds or steps"
            )
