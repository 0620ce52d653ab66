"""Read folders ``CLASS/*`` on which another data set's probe is evaluated: ImageNet-V2, -R, -A and -Sketch.

The label of an image is the label that its folder's name has in that other data set, ``probe_of``. The folders may be a
subset of its classes; predictions must then be masked to the labels that occur.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from workflow_scripts.timecat.artifacts.files import PathLike, read_json
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_of_files
from workflow_scripts.timecat.images.datasets.folders import class_folders, listed_images
from workflow_scripts.timecat.images.datasets.settings import FileSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.settings import settings

NAMED = 3  # number of unknown folders that an error names; it counts the rest


@settings
class EvaluationFolderSettings(FileSettings):
    """Settings of an evaluation-only folder."""

    kind: Literal["evaluation_folder"]
    probe_of: str


def evaluation_folder_split(
    settings: EvaluationFolderSettings, split: str, probed_classes: Sequence[str | None] | None
) -> Split:
    """Return the evaluation split, folder by folder in the order of their names.

    probed_classes: the class names of the data set ``probe_of``, by label (see probed_class_names); this split uses
    them too. If no folder has such a name and all names are numbers, as in ImageNet-V2, the numbers are the labels.
    """
    root = Path(settings.root)
    if split != "evaluation":
        raise UserError(
            f"{root} is for evaluation only (`kind: evaluation_folder`): it has no split {split}; request only "
            "its split evaluation"
        )
    if probed_classes is None:
        raise ValueError(f"{root} is labelled by the class names of {settings.probe_of}, which are missing")
    numbers = {name: label for label, name in enumerate(probed_classes) if name is not None}
    folders = class_folders(root)
    if not set(folders) & set(numbers) and all(name.isdecimal() for name in folders):
        numbers = {name: int(name) for name in folders if int(name) < len(probed_classes)}
    unknown = [name for name in folders if name not in numbers]
    if unknown:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise UserError(
            f"{root} has folders that name no class with evaluation images in {settings.probe_of}: "
            f"{', '.join(unknown[:NAMED])}{more}; rename or remove them"
        )
    paths, positions = listed_images(root, folders, may_lack=False)
    labels = np.array([numbers[name] for name in folders])[positions]
    names = [os.path.relpath(path, root) for path in paths]
    return split_of_files(names, labels, probed_classes, settings, split)


def probed_class_names(sidecar: PathLike, index: PathLike) -> list[str | None]:
    """Return the class names by label of a data set, read from the sidecar and index of its evaluation split.

    A class without rows in this split has the name None.
    """
    import pyarrow.parquet

    names: list[str | None] = [None] * read_json(sidecar)["classes"]
    table = (
        pyarrow.parquet.read_table(index, columns=["label", "class_name"])
        .group_by(["label", "class_name"])
        .aggregate([])
    )
    for row in table.to_pylist():
        names[row["label"]] = row["class_name"]
    return names
