"""Read folders ``CLASS/*`` on which another data set's probe is evaluated: ImageNet-V2, -R, -A and -Sketch.

The key ``probe_of`` names the data set whose probe is evaluated. The label of an image is the label of the class of
``probe_of`` that has the name of the image's folder. If folders exist only for some classes, predictions must be
restricted to the labels of these classes.
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
    """Settings of an evaluation-only folder.

    probe_of: name of the data set whose probe is evaluated.
    """

    kind: Literal["evaluation_folder"]
    probe_of: str


def evaluation_folder_split(
    settings: EvaluationFolderSettings, split: str, probed_classes: Sequence[str | None] | None
) -> Split:
    """Return the evaluation split, with rows in the order of the folders' names.

    probed_classes: class names of the data set ``probe_of``, by label (see probed_class_names); the split has the same
    class names. If no folder has the name of a class and all folder names are numbers, as in ImageNet-V2, the numbers
    are the labels.
    """
    root = Path(settings.root)
    if split != "evaluation":
        raise UserError(
            f"{root} is for evaluation only (`kind: evaluation_folder`): it has no split {split}; request only "
            "its split evaluation"
        )
    if probed_classes is None:
        raise ValueError(
            f"{root}: probed_classes is missing, the class names of {settings.probe_of} that define the labels"
        )
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
    """Return the class names of a data set, by label, from the sidecar and index of its evaluation split.

    A class without rows in the evaluation split has the name None.
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
