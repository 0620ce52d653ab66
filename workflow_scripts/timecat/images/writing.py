"""Write one split of a data set with its index, list of skipped images and sidecar, for stage `write_dataset`."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike, atomic_path, write_bytes
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.draws import COLUMN
from workflow_scripts.timecat.images.datasets.parts import PartSettings
from workflow_scripts.timecat.images.datasets.registry import read_split
from workflow_scripts.timecat.images.datasets.settings import DataSetSettings, StorageSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.sole_writer import sole_writer
from workflow_scripts.timecat.settings import told

RAW = {"write_mode": "raw", "quality": 100}  # storage of synthetic images; their config blocks have no key for it
# Keys left out of the sidecar: a data set stays the same when its folder is moved (its digest covers the images).
WHERE = ("root",)


@dataclass(frozen=True)
class Options:
    """Command-line options of stage write_dataset."""

    name: str
    split: str
    settings: DataSetSettings
    download: str
    probed_sidecar: list[str]
    probed_index: list[str]
    workers: int
    beton: Path
    index: Path
    skipped: Path


def run(options: Options) -> None:
    """Write the split once no other process is writing it."""
    with sole_writer(options.beton.parent, f"{options.split}."):
        write_split(options)


def write_split(options: Options) -> None:
    """Write the split's .beton, index, list of skipped images and sidecar."""
    from workflow_scripts.timecat.images.ffcv.writer import write_beton
    from workflow_scripts.timecat.runtime.progress import Progress

    command.log_start_up()
    name, settings = f"{options.name} {options.split}", options.settings
    inputs, probed_classes = {}, None
    for sidecar, index in zip(options.probed_sidecar, options.probed_index, strict=True):
        from workflow_scripts.timecat.images.datasets.evaluation_folders import probed_class_names

        probed_classes = probed_class_names(sidecar, index)
        inputs = {"probed_classes": digest(probed_classes)}
    split = read_split(with_download(settings, options.download == "true"), options.split, probed_classes)
    command.log(f"{name}: found {len(split)} images")
    stored: StorageSettings | None = getattr(settings, "storage", None)  # absent for synthetic images
    storage = RAW if stored is None else told(stored)
    progress = Progress(len(split), name, "images")
    written = write_beton(
        options.beton,
        split,
        # No max_resolution: datasets.image_files reduces larger images, by torchvision's filter and not FFCV's.
        {"write_mode": storage["write_mode"], "max_resolution": None, "jpeg_quality": storage["quality"]},
        options.workers,
        lambda done, total: progress.advance(done - progress.done),
        skip_broken=getattr(settings, "broken", None) == "skip",
    )
    progress.close()
    write_skipped(options.skipped, split, written.broken)
    if written.broken:
        command.log(f"{name}: skipped {len(written.broken)} unreadable images, listed in {options.skipped}")
        split = split.without(written.broken)
    index_digest = write_index(options.index, split)
    write_sidecar(
        options.beton,
        content=digest([written.content, index_digest]),
        params=without_places(told(settings)) | {"storage": storage, "split": options.split},
        inputs=inputs,
        facts={"data_set": options.name, "rows": len(split), "classes": len(split.class_names)},
    )
    command.log(f"{name}: wrote {len(split)} images of {len(split.class_names)} classes")


def with_download(settings: DataSetSettings, allowed: bool) -> DataSetSettings:
    """Set the key ``download`` in the settings of a data set that has an archive, and return the settings.

    For a part, the key is set in the settings of its parent data set.
    """
    if isinstance(settings, PartSettings):
        return replace(settings, of=with_download(settings.of, allowed))
    has_archive = any(field.name == "download" for field in fields(settings))
    changes: dict[str, Any] = {"download": allowed} if has_archive else {}
    return replace(settings, **changes)


def without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without the keys in WHERE.

    For a part, the keys are also removed from the settings of its parent data set.
    """
    kept = {key: value for key, value in settings.items() if key not in WHERE}
    return kept | {"of": without_places(kept["of"])} if "of" in kept else kept


def write_index(path: PathLike, split: Split) -> str:
    """Write the index and return the digest of its content.

    Columns: row, label, class_name, the group columns, draws (if there are several) and source.
    """
    import pyarrow
    import pyarrow.parquet

    columns = {
        "row": list(range(len(split))),
        "label": split.labels.tolist(),
        "class_name": [split.class_names[label] for label in split.labels],
        **{name: values.tolist() for name, values in split.groups.items()},
        **({} if split.draws is None else {COLUMN: [np.flatnonzero(own).tolist() for own in split.draws]}),
        "source": split.sources,
    }
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    return digest(columns)


def write_skipped(path: PathLike, split: Split, broken: dict[int, str]) -> None:
    """Write the list of skipped images: a header line, then the source and the reason of one image per line."""
    lines = ["source\treason", *(f"{split.sources[row]}\t{reason}" for row, reason in broken.items())]
    write_bytes(path, ("\n".join(lines) + "\n").encode(errors="replace"))
