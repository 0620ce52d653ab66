"""Read iNaturalist 2018 as published: images in ``train_val2018/``, listed in ``train2018.json`` and ``val2018.json``.

The class of an image is its directory. The label of a class is the rank of its directory when the directories in
``train2018.json`` are sorted as text; there are 8,142 classes. (``category_id`` in these files numbers the classes in a
different order.)
Source: https://github.com/visipedia/inat_comp/tree/master/2018.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Literal

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_of_files
from workflow_scripts.timecat.images.datasets.settings import SubsetSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.settings import settings

LISTS = {"train": "train2018.json", "evaluation": "val2018.json"}


@settings
class INaturalistSettings(SubsetSettings):
    """Settings of iNaturalist 2018."""

    kind: Literal["inaturalist18"]


def inaturalist_split(settings: INaturalistSettings, split: str) -> Split:
    """Return one split of iNaturalist 2018, with rows in the order of the list of images."""
    root = Path(settings.root)
    class_names = sorted({_directory(name) for name in listed_files(root / LISTS["train"])})
    numbers = {name: label for label, name in enumerate(class_names)}
    names = listed_files(root / LISTS[split])
    unknown = next((name for name in names if _directory(name) not in numbers), None)
    if unknown is not None:
        raise UserError(
            f"{root / LISTS[split]} lists {unknown}, but {LISTS['train']} has no image in the same directory; "
            "download both lists again"
        )
    return split_of_files(names, [numbers[_directory(name)] for name in names], class_names, settings, split)


def listed_files(path: Path) -> list[str]:
    """Return the file names of all images in a list such as ``train2018.json``, in order.

    Raise UserError if the list is absent or invalid.
    """
    try:
        names = [str(image["file_name"]) for image in json.loads(path.read_bytes())["images"]]
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}; correct the data set's `root` in the config, or put the file there"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a list of iNaturalist images ({type(error).__name__}: {error}): it must have `images` with "
            "a `file_name` each; download the file again"
        ) from None
    if not names:
        raise UserError(f"{path} lists no images; download the file again")
    return names


def _directory(name: str) -> str:
    return str(PurePosixPath(name).parent)
