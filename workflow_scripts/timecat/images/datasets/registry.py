"""The kinds of data sets: each module beside this one turns a block of the config into one split, in data set order.

A split is a ``Split``: the images (uint8 [rows, height, width, 3] or anything with ``__len__`` and ``__getitem__`` that
gives one such image), the labels, the class names and what the index says of each row.
"""

from collections.abc import Callable, Sequence
from typing import Any

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
from workflow_scripts.timecat.images.datasets.split import Split

# Kind -> what reads one split, given the data set's block of the config and the split's name. A reader imports libraries that
# take seconds to load (torchvision, scikit-learn) when it is called.
READERS: dict[str, Callable[[dict[str, Any], str], Split]] = {
    "camelyon17": camelyon.camelyon_split,
    "celeba": spurious_photos.celeba_split,
    "cifar10": cifar.cifar_split,
    "cifar100": cifar.cifar_split,
    "cues": cues.cues_split,
    "digits": digits.digits_split,
    "image_folder": folders.image_folder_split,
    "imagenet": folders.image_folder_split,
    "inaturalist18": inaturalist.inaturalist_split,
    "motifs": motifs.motifs_split,
    "sequences": sequences.sequences_split,
    "shortcut": shortcut.shortcut_split,
    "waterbirds": spurious_photos.waterbirds_split,
}


def read_split(settings: dict[str, Any], split: str, probed_classes: Sequence[str | None] | None = None) -> Split:
    """Return the split ("train" or "evaluation") of the data set that ``settings`` (its block of the config) describes.

    probed_classes: class names, by label, of the data set whose probe is evaluated, for folders for evaluation only; for a
    part's rows for evaluation, of its training rows.
    """
    kind = settings["kind"]
    if kind == "part":
        return parts.part_split(read_split(settings["of"], split), settings, split, probed_classes)
    if kind == "evaluation_folder":
        return evaluation_folders.evaluation_folder_split(settings, split, probed_classes)
    return READERS[kind](settings, split)
