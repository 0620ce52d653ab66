"""What jobs ask for: threads, memory and minutes, and what they are told that changes no output."""

import math
from collections.abc import Callable

from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.publications import Publications
from workflow_scripts.timecat.study.rule_helpers import growing
from workflow_scripts.timecat.study.wildcards import HasBackbone, HasDataSet, HasDownload, HasRun


class Resources:
    """The resources of a study's jobs."""

    def __init__(self, config: Config, publications: Publications):
        self._config, self._publications = config, publications

    @property
    def threads(self) -> int:
        """What a job that decodes images and computes takes of the machine's cores."""
        return max(self._config.limits.workers, self._config.torch_threads)

    @property
    def pretrain_threads(self) -> int:
        """The same for a pretraining job: of each of its GPUs on one node."""
        return self.threads * self._config.limits.pretrain_gpus // self._config.limits.pretrain_nodes

    @property
    def pretrain_memory_mb(self) -> int:
        """What a pretraining job takes of one node's memory."""
        return math.ceil(self._config.limits.pretrain_memory_mb / self._config.limits.pretrain_nodes)

    @property
    def extract_threads(self) -> int:
        """What an extraction job takes of the machine's cores: of each of its GPUs."""
        return self.threads * self._config.limits.extract_gpus

    @property
    def runtime(self) -> Callable[[object, int], int]:
        """The minutes that a job asks for, as a function of how often it has been tried."""
        return growing(self._config.limits.runtime_minutes, self._config.limits.longest_runtime_minutes)

    @property
    def feature_memory_gb(self) -> str:
        """What a probe may keep of features, as text: Snakemake rounds a resource that is a number to a whole one."""
        return str(self._config.limits.memory_gb)

    @property
    def probe_memory_mb(self) -> int:
        """Memory of a probe, for schedulers: features come on top of what any job takes."""
        return self._config.limits.memory_mb + math.ceil(1000 * self._config.limits.memory_gb)

    # --- functions of wildcards: checks and permissions, which change no output ---

    def may_download(self, wildcards: HasDataSet) -> str:
        """Return "true" or "false": whether a data set's archive may be fetched."""
        return str(self._config.whole_of(wildcards.data_set).may_download).lower()

    def download_sha256(self, wildcards: HasDownload) -> str:
        """Return the SHA-256 that a download must have; "" if the config has none."""
        published = self._publications.downloads[wildcards.download]
        return published.expected_sha256(published.urls[wildcards.download])

    def published_sha256(self, wildcards: HasRun) -> str:
        """Return the SHA-256 that the file of a checkpoint, or its archive, must have; "" if the config has none."""
        published = self._publications[wildcards.backbone]
        return published.expected_sha256(published.container(int(wildcards.seed), int(wildcards.step)))

    def member_sha256(self, wildcards: HasRun) -> str:
        """Return the SHA-256 that a checkpoint inside an archive must have; "" if the config has none."""
        published = self._publications[wildcards.backbone]
        return published.expected_sha256(published.member(int(wildcards.seed), int(wildcards.step)))

    def step_tolerance(self, wildcards: HasBackbone) -> int:
        """Return how far the step that a published file states may be from the wanted one."""
        return self._publications[wildcards.backbone].checkpoints.step_tolerance
