"""Floors of a study: untrained arms and a random projection of the pixels, with which its accuracies are compared."""

from collections.abc import Iterable, Iterator

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.floors import PIXELS
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.chains import Chains

DIGITS = 6  # number of digits of the digest in an arm's name


class Floors:
    """The floors of a config.

    The floor of an arm has the same members, untrained (step 0), and is transferred in the same way. Arms that differ
    only in steps share a floor. Names of floors contain a dot, which names in the config cannot have.
    """

    def __init__(self, config: Config, chains: Chains):
        self._config, self._chains = config, chains

    def of(self, arm: Arm, replicates: list[list[int]]) -> Arm | None:
        """Return the floor of an arm with these replicates, or None.

        An arm has no floor if it is not pretrained, if it is itself untrained, or if the study has no floors.
        """
        if self._config.floors is None or not arm.milestones:
            return None
        floor = arm.model_copy(
            update={
                "steps": 0,
                "seeds": None,
                "replicates": self._first(replicates),
                "published": {},
                "against": [],
            }
        )
        return floor.model_copy(update={"name": self._name("untrained", floor)})

    def _first(self, replicates: list[list[int]]) -> list[list[int]]:
        """Return the replicates that contain only the first `floors.seeds` seeds of an arm.

        If the first replicate has more seeds than `floors.seeds`, that many seeds count as the first.
        """
        assert self._config.floors is not None
        seeds = list(dict.fromkeys(seed for replicate in replicates for seed in replicate))
        wanted = max(self._config.floors.seeds or len(seeds), len(set(replicates[0])))
        own = set(seeds[:wanted])
        return [replicate for replicate in replicates if own.issuperset(replicate)]

    def _name(self, kind: str, floor: Arm) -> str:
        chain = self._chains.shared_by(floor)
        of_the_chain_or_said_elsewhere = {"name", "source", "backbone", "published", "one_seed"}
        identity = digest([chain, floor.model_dump(exclude=of_the_chain_or_said_elsewhere, exclude_defaults=True)])
        return f"{kind}.{chain[1]}.x{floor.members}.{identity[:DIGITS]}"

    @property
    def projection(self) -> Arm | None:
        """Arm whose features are a random projection of the pixels, or None if the study has none."""
        if PIXELS not in self._config.backbones or self._config.floors is None:
            return None
        seeds = self._config.pretrain.seeds[: self._config.floors.seeds or 1]
        arm = Arm.model_construct(name="", members=1, steps=0, backbone=PIXELS, replicates=[[seed] for seed in seeds])
        return arm.model_copy(update={"name": self._name("projected", arm)})

    def all(self, arms: Iterable[tuple[Arm, list[list[int]]]]) -> Iterator[Arm]:
        """Yield each floor of the given arms once, then the projection of the pixels.

        arms: pairs (arm, its replicates).
        """
        found = {floor.name: floor for arm in arms if (floor := self.of(*arm)) is not None}
        if (projection := self.projection) is not None:
            found[projection.name] = projection
        yield from found.values()
