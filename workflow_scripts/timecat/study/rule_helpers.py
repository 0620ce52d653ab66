"""Helpers for writing rules: the code files of a stage, and resources that grow with each attempt of a job."""

from collections.abc import Callable
from functools import partial

from workflow_scripts.timecat.artifacts import source_code
from workflow_scripts.timecat.artifacts.project import path_of

IMAGE = "containers/timecat.sif"
IMAGE_DIGEST = f"{IMAGE}.sha256"


def code_of(in_containers: bool, local: Callable[[str], str]) -> Callable[[str], list[str]]:
    """Return a function that returns the code files of a stage; with containers, also the digest of the image.

    Snakemake compares only the path of an image, so without the digest no job would run again after the image changes.
    local: Snakemake's flag for files on this machine's disk, needed if results are in another storage
    (--default-storage-provider).
    """
    return partial(_inputs, local=local, image=[IMAGE_DIGEST] if in_containers else [])


def _inputs(stage: str, local: Callable[[str], str], image: list[str]) -> list[str]:
    return [local(path_of(path)) for path in source_code.code_of(stage) + image]


def growing(amount: int, most: int | None = None) -> Callable[[object, int], int]:
    """Return a resource function that returns ``amount`` times the number of the attempt, but at most ``most``.

    Snakemake counts the attempts of a job (``--retries``).
    """

    def asked(wildcards: object, attempt: int) -> int:
        return amount * attempt if most is None else max(amount, min(amount * attempt, most))

    return asked
