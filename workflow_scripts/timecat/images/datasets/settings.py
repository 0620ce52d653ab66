"""Settings that several kinds of data sets have in common. An instance describes one split of a data set."""

from typing import Literal, TypeVar

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.settings import LEFT_OUT, settings

Value = TypeVar("Value")


@settings
class DataSetSettings:
    """Base class of the settings of a data set. Each subclass restricts ``kind`` to the names that it accepts."""

    kind: str


@settings
class StorageSettings:
    """Settings of image storage.

    longest_side, shortest_side: limits in pixels, to which larger images are reduced.
    """

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
    """Settings of data sets of image files that have training rows, of which a ``fraction`` may be drawn.

    draws: number of draws; left out if there is only one.
    """

    subset_seed: int | None = LEFT_OUT
    fraction: float | None = LEFT_OUT
    balanced: bool | None = LEFT_OUT
    draws: int | None = LEFT_OUT


def needed(value: Value | None, key: str) -> Value:
    """Return the value of an optional key; raise UserError if it was left out."""
    if value is LEFT_OUT:
        raise UserError(f"the settings of the data set lack `{key}`, which this split needs; add the key to --settings")
    return value
