"""The typed config of what describes the work and the machine: the block `limits`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import Block, PositiveFloat, PositiveInt


class Limits(Block):
    """What describes the work and the machine; changing it re-runs nothing and, but for GPUs, changes no bit."""

    resume_seconds: Annotated[int, Field(ge=0)] = Field(
        120, description="how often a job that trains backbones (pretrain, transfer) saves its own resume file"
    )
    workers: PositiveInt = Field(
        1, description="threads that decode or write images, per job (of a job on several GPUs: per GPU)"
    )
    pretrain_gpus: PositiveInt = Field(
        1,
        description="GPUs of one pretraining job, all of one machine unless there are pretrain_nodes, which share each "
        "batch; like another kind of GPU, another number of them changes the last bits of what is trained from then on "
        "(and the masks of dropout, where a GPU has less than a whole batch / accumulation)",
    )
    pretrain_nodes: PositiveInt = Field(
        1,
        description="nodes of a Slurm cluster that one pretraining job is on, each with an equal part of pretrain_gpus",
    )
    extract_gpus: PositiveInt = Field(
        1,
        description="GPUs of one extraction job, all of one machine, which share each data set's rows; not needed to keep "
        "several busy",
    )
    memory_gb: PositiveFloat = Field(
        2.0,
        description="features that a probe keeps in memory at once (10^9 bytes; a view, the held-out and the evaluation "
        "rows of one replicate's members); what exceeds it is read from disk as it goes",
    )
    pretrain_memory_mb: PositiveInt = Field(
        2000, description="memory of a job that trains backbones, on all its GPUs together, for schedulers"
    )
    memory_mb: PositiveInt = Field(
        2000, description="memory of any other job, for schedulers; a probe asks for memory_gb on top"
    )
    runtime_minutes: PositiveInt = Field(
        30, description="run time of a job, for schedulers; a job that is tried again (--retries) asks for more"
    )
    longest_runtime_minutes: PositiveInt = Field(
        1440,
        description="what a job that is tried again asks for at most: the longest that the cluster's partition takes",
    )
    forkserver: bool = Field(
        False,
        description="on one machine: jobs are forks of a process that has torch loaded, which spares each the seconds of "
        "loading it (Snakemake's benchmarks then lack their memory and CPU time; the stages' logs have the latter)",
    )

    @model_validator(mode="after")
    def _equal_nodes(self) -> Self:
        if self.pretrain_gpus % self.pretrain_nodes:
            raise ValueError(
                f"pretrain_gpus: {self.pretrain_gpus} GPUs cannot be divided among {self.pretrain_nodes} nodes "
                "(pretrain_nodes); give a multiple"
            )
        return self
