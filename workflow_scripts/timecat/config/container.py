"""The typed config of the container image: the block `container`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, FilePath
from workflow_scripts.timecat.runtime.container import BuildArguments


class ContainerImage(Block):
    """Base of the container image in which stages run with `--profile profiles/apptainer`.
    A different base gives a different image; all results are then computed again."""

    bootstrap: str = Field(
        "docker",
        description="bootstrap agent of Apptainer that provides `base`: `docker` (a registry) or `localimage` (a "
        "local file)",
    )
    base: FilePath = Field(
        "python:3.11-slim-bookworm",
        description="name or file of the base image, a Debian or Ubuntu with Python 3.11 or newer",
    )
    gpu: bool = Field(
        True,
        description="whether the image contains the libraries for GPUs (false: a smaller image, for CPUs only)",
    )

    def build_arguments(self) -> BuildArguments:
        """Return the arguments of Apptainer's build that the stage `build_image` gets."""
        return BuildArguments(BOOTSTRAP=self.bootstrap, BASE=self.base, GPU="yes" if self.gpu else "no")
