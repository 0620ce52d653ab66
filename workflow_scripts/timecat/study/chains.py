"""Chains of checkpoints: the source and backbone of each pretraining, and the steps at which checkpoints are kept."""

from workflow_scripts.timecat.config.arms import Arm
from workflow_scripts.timecat.config.model import Config


class Chains:
    """Chains of a config: pairs (source, backbone).

    A chain is the pretraining of a backbone on a source that keeps checkpoints at several steps, with each seed.
    """

    def __init__(self, config: Config):
        self._config = config

    def trained_on(self, arm: Arm, target: str) -> tuple[str, str]:
        """Return the chain (source, backbone) of the checkpoints with which an arm is transferred to a target."""
        return self._config.source_of(arm, target), self._config.backbone_of(arm)

    def shared_by(self, arm: Arm) -> tuple[str | None, str]:
        """Return the chain (source, backbone) of an arm's checkpoints, the same for all targets.

        source is None for an arm that is pretrained on each target itself.
        """
        return self._config.shared_source_of(arm), self._config.backbone_of(arm)

    def is_published(self, arm: Arm) -> bool:
        """Return whether an arm's members are published weights that are imported instead of pretrained."""
        if not arm.milestones:
            return False
        return (
            self._config.shared_source_of(arm) == self._config.source
            and self._config.backbone_of(arm) in self._config.publications
        )

    def milestones_of(self, backbone: str, source: str | None = None) -> list[int]:
        """Return the steps at which checkpoints of a backbone on a source (default: the study's) are kept, ascending.

        They include the steps of the arms with this chain, and for the study's source and backbone also
        `pretrain.milestones` and `grid.steps`.
        """
        chain = (source or self._config.source, backbone)
        arms = [arm for arm in self._config.all_arms.values() if self._config.backbone_of(arm) == backbone]
        steps = {step for arm in arms if chain[0] in self._config.sources_of(arm) for step in arm.milestones}
        if chain == (self._config.source, self._config.backbone):
            steps |= set(self._config.pretrain.milestones)
            steps |= set(self._config.grid.steps or [] if self._config.grid else [])
        return sorted(steps)

    @property
    def milestones(self) -> list[int]:
        """Steps at which checkpoints of the study's source and backbone are kept, ascending."""
        return self.milestones_of(self._config.backbone)

    def previous_step(self, source: str, backbone: str, step: int) -> int | None:
        """Return the milestone before a step, or None at the start of the chain."""
        return max((found for found in self.milestones_of(backbone, source) if found < step), default=None)
