"""Registry of the kinds of data sets: the settings of each kind and the function that reads one split.

The function returns a ``Split``, with rows in the order of the data set: the images (uint8 [rows, height, width, 3], or
an object with ``__len__`` and ``__getitem__`` that returns one image), the labels, the class names and further columns
of the index.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, Union

from pydantic import Field

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.images.datasets import (
    camelyon,
    cifar,
    cues,
    digits,
    evaluation_folders,
    folders,
    inaturalist,
    motifs,
    parts,
    sequences,
    shortcut,
    spurious_photos,
)
from workflow_scripts.timecat.images.datasets.settings import DataSetSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.runtime.json_arguments import read_typed

Kind = TypeVar("Kind", bound=DataSetSettings)


@dataclass(frozen=True)
class Reader(Generic[Kind]):
    """Reader of one kind of data set.

    settings: class of its settings. read: function (settings, name of the split) -> Split.
    """

    settings: type[Kind]
    read: Callable[[Kind, str], Split]


# Readers import slow libraries (torchvision, scikit-learn) only when they are called.
READERS: dict[str, Reader[Any]] = {
    "camelyon17": Reader(camelyon.CamelyonSettings, camelyon.camelyon_split),
    "celeba": Reader(spurious_photos.SpuriousPhotosSettings, spurious_photos.celeba_split),
    "cifar10": Reader(cifar.CifarSettings, cifar.cifar_split),
    "cifar100": Reader(cifar.CifarSettings, cifar.cifar_split),
    "cues": Reader(cues.CuesSettings, cues.cues_split),
    "digits": Reader(digits.DigitsSettings, digits.digits_split),
    "image_folder": Reader(folders.ImageFolderSettings, folders.image_folder_split),
    "imagenet": Reader(folders.ImageNetSettings, folders.image_folder_split),
    "inaturalist18": Reader(inaturalist.INaturalistSettings, inaturalist.inaturalist_split),
    "motifs": Reader(motifs.MotifsSettings, motifs.motifs_split),
    "sequences": Reader(sequences.SequencesSettings, sequences.sequences_split),
    "shortcut": Reader(shortcut.ShortcutSettings, shortcut.shortcut_split),
    "waterbirds": Reader(spurious_photos.SpuriousPhotosSettings, spurious_photos.waterbirds_split),
}


def _one_of(*kinds: Any) -> Any:
    """Return the union of several classes of settings as a type, discriminated by ``kind``."""
    return Annotated[Union[kinds], Field(discriminator="kind")]  # noqa: UP007 (of a tuple)


# Types of the settings of all kinds, as the stage reads them; built from READERS at run time, so mypy sees Any.
_WHOLES = tuple({reader.settings: None for reader in READERS.values()})  # data sets that can have parts
_PART: Any = parts.PartSettings[_one_of(*_WHOLES)]  # type: ignore[misc]  # made at run time
SETTINGS: Any = _one_of(*_WHOLES, _PART, evaluation_folders.EvaluationFolderSettings)


def as_settings(told: Mapping[str, Any]) -> DataSetSettings:
    """Return the typed settings of a data set from the keys of one split; raise ValueError if a key is wrong."""
    found: DataSetSettings = read_typed(SETTINGS, canonical_json(told))
    return found


def read_split(settings: DataSetSettings, split: str, probed_classes: Sequence[str | None] | None = None) -> Split:
    """Return the split ("train" or "evaluation") of the data set that ``settings`` describe.

    probed_classes: class names by label, which evaluation-only folders and the evaluation split of a part need: for
    evaluation-only folders, the class names of the data set whose probe is evaluated; for a part, the class names of
    its training rows.
    """
    if isinstance(settings, parts.PartSettings):
        return parts.part_split(read_split(settings.of, split), settings, split, probed_classes)
    if isinstance(settings, evaluation_folders.EvaluationFolderSettings):
        return evaluation_folders.evaluation_folder_split(settings, split, probed_classes)
    return READERS[settings.kind].read(settings, split)
