"""CIFAR-10 and CIFAR-100 through torchvision's own classes, which check the md5 of every file before it is opened."""

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
    """The settings of CIFAR-10 and CIFAR-100. download: whether the archive may be fetched, an option of the stage."""

    kind: Literal["cifar10", "cifar100"]
    download: bool | None = LEFT_OUT


def cifar_split(settings: CifarSettings, split: str) -> Split:
    """One split, rows in torchvision's order."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind, root, download = settings.kind, Path(settings.root), needed(settings.download, "download")
    reader = {"cifar10": CIFAR10, "cifar100": CIFAR100}[kind]
    fetch = download and not (root / reader.base_folder / reader.meta["filename"]).exists()
    try:
        # The jobs of both splits run side by side: one of them downloads, and the other one then finds it there.
        with sole_writer(root, f"{kind}.") if fetch else contextlib.nullcontext():
            # What torchvision prints of a download belongs into the log.
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
            f"{reader.url} cannot be had for {root} ({error}): download it by other means, put {reader.filename} there "
            "and run again"
        )
    return (
        f"{root / reader.base_folder} is not there, or a file of it has another md5 than it should: put the unpacked "
        f"{reader.filename} of {reader.url} into {root}, or set `download: true` for the data set"
    )


class _Log(io.TextIOBase):
    """A stream whose lines go to the stage's log."""

    def write(self, text: str) -> int:
        if text.strip():
            log(text.strip())
        return len(text)
