"""Read CIFAR-10 and CIFAR-100 with torchvision's classes, which check the md5 of every file before they open it."""

import contextlib
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_rows
from workflow_scripts.timecat.images.datasets.image_files import ImageArrays
from workflow_scripts.timecat.images.datasets.settings import SubsetSettings, needed
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.runtime.sole_writer import sole_writer
from workflow_scripts.timecat.settings import LEFT_OUT, settings


@settings
class CifarSettings(SubsetSettings):
    """Settings of CIFAR-10 and CIFAR-100.

    download: whether the stage may download the archive.
    """

    kind: Literal["cifar10", "cifar100"]
    download: bool | None = LEFT_OUT


def cifar_split(settings: CifarSettings, split: str) -> Split:
    """Return one split of CIFAR, with rows in torchvision's order."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind, root, download = settings.kind, Path(settings.root), needed(settings.download, "download")
    reader = {"cifar10": CIFAR10, "cifar100": CIFAR100}[kind]
    fetch = download and not (root / reader.base_folder / reader.meta["filename"]).exists()
    try:
        # The jobs of both splits run in parallel: one job downloads the archive, and the other job waits for it.
        with sole_writer(root, f"{kind}.") if fetch else contextlib.nullcontext():
            # torchvision's messages about the download go to the log.
            with contextlib.redirect_stdout(_Log()):
                data = reader(root, train=split == "train", download=download)
    except (RuntimeError, OSError) as error:
        raise UserError(_message(reader, root, download, error)) from None
    labels = np.asarray(data.targets, np.int64)
    rows, draws = split_rows(labels, settings, split)
    return Split(
        images=ImageArrays(data.data[rows], settings.storage),
        labels=labels[rows],
        class_names=list(data.classes),
        sources=[f"{kind}:{split}:{row}" for row in rows],
        draws=draws,
    )


def _message(reader: Any, root: Path, download: bool, error: Exception) -> str:
    if download:
        return (
            f"{reader.url} cannot be downloaded to {root} ({error}): download it yourself, put {reader.filename} into "
            "that folder and run again"
        )
    return (
        f"{root / reader.base_folder} does not exist, or a file in it has the wrong md5: put the unpacked "
        f"{reader.filename} of {reader.url} into {root}, or set `download: true` for the data set"
    )


class _Log(io.TextIOBase):
    """Text stream that writes to the stage's log."""

    def write(self, text: str) -> int:
        if text.strip():
            log(text.strip())
        return len(text)
