"""The typed config of the container image: the block `container`."""

from pydantic import Field

from workflow_scripts.timecat.config.blocks import Block, FilePath
from workflow_scripts.timecat.runtime.container import BuildArguments


class ContainerImage(Block):
    """The image in which stages run with `--profile profiles/apptainer`: what it is built on. Another base is another image,
    in which everything is computed anew."""

    bootstrap: str = Field(
        "docker", description="where `base` is from, as Apptainer's definition files say: docker, localimage"
    )
    base: FilePath = Field(
        "python:3.11-slim-bookworm", description="a Debian or Ubuntu with Python 3.11 or newer: an image's name or file"
    )
    gpu: bool = Field(
        True,
        description="whether the image holds all that a GPU's work loads; without it, it is smaller and for CPUs only",
    )

    def build_arguments(self) -> BuildArguments:
        """What the stage is told."""
        return BuildArguments(BOOTSTRAP=self.bootstrap, BASE=self.base, GPU="yes" if self.gpu else "no")
