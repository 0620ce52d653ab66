"""What rules are written with: the files that a stage depends on, and resources that grow when a job is tried again."""

from collections.abc import Callable
from functools import partial

from workflow_scripts.timecat.artifacts import source_code
from workflow_scripts.timecat.artifacts.project import path_of

IMAGE = "containers/timecat.sif"
IMAGE_DIGEST = f"{IMAGE}.sha256"


def code_of(in_containers: bool, local: Callable[[str], str]) -> Callable[[str], list[str]]:
    """A function of a stage: the files of its code, and in containers that which stands for the image's content.

    Snakemake itself looks at an image's path only, so that another image would leave what the old one has made. local:
    Snakemake's flag for files that are on this machine's disk wherever the results are (--default-storage-provider).
    """
    return partial(_inputs, local=local, image=[IMAGE_DIGEST] if in_containers else [])


def _inputs(stage: str, local: Callable[[str], str], image: list[str]) -> list[str]:
    return [local(path_of(path)) for path in source_code.code_of(stage) + image]


def growing(amount: int, most: int | None = None) -> Callable[[object, int], int]:
    """A resource that a job asks for: as many times as much as it has been tried (``--retries``), and at most ``most``."""

    def asked(wildcards: object, attempt: int) -> int:
        return amount * attempt if most is None else max(amount, min(amount * attempt, most))

    return asked
