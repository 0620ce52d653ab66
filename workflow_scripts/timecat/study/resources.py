"""Resources of jobs: threads, memory, run time, and settings of stages that do not affect the output."""

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
        """Number of cores of a job that decodes images and computes."""
        return max(self._config.limits.workers, self._config.torch_threads)

    @property
    def pretrain_threads(self) -> int:
        """Number of cores of a pretraining job on each of its nodes: `threads` for each GPU of the node."""
        return self.threads * self._config.limits.pretrain_gpus // self._config.limits.pretrain_nodes

    @property
    def pretrain_memory_mb(self) -> int:
        """Memory of a pretraining job on each of its nodes, in MB."""
        return math.ceil(self._config.limits.pretrain_memory_mb / self._config.limits.pretrain_nodes)

    @property
    def extract_threads(self) -> int:
        """Number of cores of an extraction job: `threads` for each of its GPUs."""
        return self.threads * self._config.limits.extract_gpus

    @property
    def runtime(self) -> Callable[[object, int], int]:
        """Run time in minutes that a job requests, as a function of its wildcards and the number of the attempt."""
        return growing(self._config.limits.runtime_minutes, self._config.limits.longest_runtime_minutes)

    @property
    def feature_memory_gb(self) -> str:
        """Memory for features in a probe in GB, as text, because Snakemake rounds resources that are numbers."""
        return str(self._config.limits.memory_gb)

    @property
    def probe_memory_mb(self) -> int:
        """Memory that a probe requests from a scheduler, in MB: the memory of any job plus the memory for features."""
        return self._config.limits.memory_mb + math.ceil(1000 * self._config.limits.memory_gb)

    # --- functions of wildcards: checks and permissions, which do not affect the output ---

    def may_download(self, wildcards: HasDataSet) -> str:
        """Return "true" if a data set's archive may be downloaded, else "false"."""
        return str(self._config.whole_of(wildcards.data_set).may_download).lower()

    def download_sha256(self, wildcards: HasDownload) -> str:
        """Return the SHA-256 that the config gives for a download, or ""."""
        published = self._publications.downloads[wildcards.download]
        return published.expected_sha256(published.urls[wildcards.download])

    def published_sha256(self, wildcards: HasRun) -> str:
        """Return the SHA-256 that the config gives for the file of a checkpoint, or for its archive, or ""."""
        published = self._publications[wildcards.backbone]
        return published.expected_sha256(published.container(int(wildcards.seed), int(wildcards.step)))

    def member_sha256(self, wildcards: HasRun) -> str:
        """Return the SHA-256 that the config gives for a checkpoint inside an archive, or ""."""
        published = self._publications[wildcards.backbone]
        return published.expected_sha256(published.member(int(wildcards.seed), int(wildcards.step)))

    def step_tolerance(self, wildcards: HasBackbone) -> int:
        """Return by how many steps the step recorded in a published file may differ from the config's."""
        return self._publications[wildcards.backbone].checkpoints.step_tolerance
