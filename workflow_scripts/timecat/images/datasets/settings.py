"""What the settings of data sets of all kinds have in common: a reader's settings say what makes one split."""

from typing import Literal, TypeVar

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.settings import LEFT_OUT, settings

Value = TypeVar("Value")


@settings
class DataSetSettings:
    """The settings of any kind. Each kind narrows ``kind`` to its own name or names."""

    kind: str


@settings
class StorageSettings:
    """How images are stored. longest_side, shortest_side: pixels that larger images are reduced to."""

    write_mode: Literal["jpg", "raw"]
    longest_side: int | None
    shortest_side: int | None
    quality: int


@settings
class FileSettings(DataSetSettings):
    """The settings of every kind whose images are files below a folder."""

    root: str
    storage: StorageSettings
    broken: Literal["error", "skip"]


@settings
class SubsetSettings(FileSettings):
    """The settings of every kind of image files that has training rows, of which ``fraction`` takes some.

    draws: how often; left out where it is once.
    """

    subset_seed: int | None = LEFT_OUT
    fraction: float | None = LEFT_OUT
    balanced: bool | None = LEFT_OUT
    draws: int | None = LEFT_OUT


def needed(value: Value | None, key: str) -> Value:
    """Return the value of a key that may be left out, where it is needed; UserError if it was left out."""
    if value is LEFT_OUT:
        raise UserError(f"the settings of the data set lack `{key}`, which this split needs; add it to --settings")
    return value
