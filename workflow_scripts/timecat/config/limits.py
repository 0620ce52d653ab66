"""The typed config of resources of jobs (workers, GPUs, memory, run time): the block `limits`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import Block, PositiveFloat, PositiveInt


class Limits(Block):
    """Resources of jobs: intervals, workers, GPUs, memory and run time.
    A change does not rerun any job. Only the numbers of GPUs and nodes can change the last bits of later results."""

    resume_seconds: Annotated[int, Field(ge=0)] = Field(
        120,
        description="interval in seconds at which a job that trains backbones (pretrain, transfer) saves its state, "
        "from which it can resume",
    )
    workers: PositiveInt = Field(
        1, description="number of threads per job that decode or write images (per GPU, in a job on several GPUs)"
    )
    pretrain_gpus: PositiveInt = Field(
        1,
        description="number of GPUs of one pretraining job, which share each batch. All are on one machine unless "
        "pretrain_nodes is set. A different number, like a different kind of GPU, changes the last bits of weights "
        "that are trained afterwards (and the dropout masks, if a GPU gets less than batch_size / accumulation images)",
    )
    pretrain_nodes: PositiveInt = Field(
        1,
        description="number of nodes of a Slurm cluster on which one pretraining job runs; each node has an equal "
        "part of pretrain_gpus",
    )
    extract_gpus: PositiveInt = Field(
        1,
        description="number of GPUs of one extraction job, all on one machine, which share the rows of each data set. "
        "Several GPUs can also be used by several jobs at the same time, without this key",
    )
    memory_gb: PositiveFloat = Field(
        2.0,
        description="memory for features in a probe, in GB (10^9 bytes). A probe needs the features of all members of "
        "a replicate: one view of the training rows, the held-out rows and the evaluation rows. Features that do not "
        "fit are read from disk when needed",
    )
    pretrain_memory_mb: PositiveInt = Field(
        2000,
        description="memory in MB that a job that trains backbones requests from a scheduler, for all of its GPUs "
        "together",
    )
    memory_mb: PositiveInt = Field(
        2000,
        description="memory in MB that a job that does not train backbones requests from a scheduler; a probe requests "
        "memory_gb in addition",
    )
    runtime_minutes: PositiveInt = Field(
        30,
        description="run time in minutes that a job requests from a scheduler; attempt n of a job (--retries) "
        "requests n times as much",
    )
    longest_runtime_minutes: PositiveInt = Field(
        1440,
        description="largest run time in minutes that a repeated attempt requests: the limit of the cluster's "
        "partition",
    )
    forkserver: bool = Field(
        False,
        description="on one machine: whether jobs are forks of a process that has loaded torch, which saves each job "
        "the seconds of loading torch. Snakemake's benchmark files then lack memory and CPU time of jobs; the logs of "
        "stages report CPU time",
    )

    @model_validator(mode="after")
    def _equal_nodes(self) -> Self:
        if self.pretrain_gpus % self.pretrain_nodes:
            raise ValueError(
                f"pretrain_gpus: {self.pretrain_gpus} GPUs cannot be divided among {self.pretrain_nodes} nodes "
                "(pretrain_nodes); use a multiple of the number of nodes"
            )
        return self
