"""Common settings of all kinds of data sets; a reader's settings define one split."""

from typing import Literal, TypeVar

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.settings import LEFT_OUT, settings

Value = TypeVar("Value")


@settings
class DataSetSettings:
    """Settings of any kind of data set. Each kind restricts ``kind`` to its names."""

    kind: str


@settings
class StorageSettings:
    """Settings of image storage. longest_side, shortest_side: limits in pixels; larger images are reduced to them."""

    write_mode: Literal["jpg", "raw"]
    longest_side: int | None
    shortest_side: int | None
    quality: int


@settings
class FileSettings(DataSetSettings):
    """Settings of data sets whose images are files below a folder."""

    root: str
    storage: StorageSettings
    broken: Literal["error", "skip"]


@settings
class SubsetSettings(FileSettings):
    """Settings of data sets of image files with training rows, a ``fraction`` of which may be drawn.

    draws: number of draws; left out if there is only one.
    """

    subset_seed: int | None = LEFT_OUT
    fraction: float | None = LEFT_OUT
    balanced: bool | None = LEFT_OUT
    draws: int | None = LEFT_OUT


def needed(value: Value | None, key: str) -> Value:
    """Return the value of an optional key; raise UserError if it was left out."""
    if value is LEFT_OUT:
        raise UserError(f"the settings of the data set lack `{key}`, which this split needs; add it to --settings")
    return value
