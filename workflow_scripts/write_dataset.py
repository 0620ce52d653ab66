"""Write one split of one data set as a .beton file, with an index, a sidecar and a list of what was left out."""

import argparse
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike, atomic_path, write_bytes
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.images.datasets.registry import read_split
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.sole_writer import sole_writer

RAW = {"write_mode": "raw", "quality": 100}  # how made images are stored, which the config does not say
WHERE = ("root",)  # where the images are; what they are is in the content: a folder that moved is the same


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--split", required=True, choices=("train", "evaluation"))
    parser.add_argument("--settings", required=True, type=command.json_value, help="the data set's block of the config")
    parser.add_argument("--download", choices=("true", "false"), default="false", help="whether CIFAR may be fetched")
    parser.add_argument("--probed-sidecar", nargs="*", default=[], help="of the data set whose probe is evaluated")
    parser.add_argument("--probed-index", nargs="*", default=[], help="its evaluation index")
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--beton", required=True, type=Path)
    parser.add_argument("--index", required=True, type=Path, help=".parquet")
    parser.add_argument("--skipped", required=True, type=Path, help=".tsv")
    arguments = parser.parse_args()

    with sole_writer(arguments.beton.parent, f"{arguments.split}."):
        write_split(arguments)


def write_split(arguments: argparse.Namespace) -> None:
    """Write the split: .beton, index, list of what was left out, sidecar. arguments: of the command line."""
    from workflow_scripts.timecat.images.ffcv.writer import write_beton
    from workflow_scripts.timecat.runtime.progress import Progress

    command.log_start_up()
    name, settings = f"{arguments.name} {arguments.split}", arguments.settings
    inputs, probed_classes = {}, None
    for sidecar, index in zip(arguments.probed_sidecar, arguments.probed_index, strict=True):
        from workflow_scripts.timecat.images.datasets.evaluation_folders import probed_class_names

        probed_classes = probed_class_names(sidecar, index)
        inputs = {"probed_classes": digest(probed_classes)}
    split = read_split(with_download(settings, arguments.download == "true"), arguments.split, probed_classes)
    command.log(f"{name}: {len(split)} images listed")
    storage = settings.get("storage", RAW)
    progress = Progress(len(split), name, "images")
    written = write_beton(
        arguments.beton,
        split,
        # Larger images are reduced when they are read (datasets.image_files), by torchvision's filter and not by FFCV's.
        {"write_mode": storage["write_mode"], "max_resolution": None, "jpeg_quality": storage["quality"]},
        arguments.workers,
        lambda done, total: progress.advance(done - progress.done),
        skip_broken=settings.get("broken") == "skip",
    )
    progress.close()
    write_skipped(arguments.skipped, split, written.broken)
    if written.broken:
        command.log(f"{name}: {len(written.broken)} images cannot be read and are left out, see {arguments.skipped}")
        split = split.without(written.broken)
    index_digest = write_index(arguments.index, split)
    write_sidecar(
        arguments.beton,
        content=digest([written.content, index_digest]),
        params=without_places(settings) | {"storage": storage, "split": arguments.split},
        inputs=inputs,
        facts={"data_set": arguments.name, "rows": len(split), "classes": len(split.class_names)},
    )
    command.log(f"{name}: {len(split)} images of {len(split.class_names)} classes")


def with_download(settings: dict[str, Any], allowed: bool) -> dict[str, Any]:
    """Settings of a data set, and of the whole that it may be a part of, that say whether an archive may be fetched."""
    told = settings | {"download": allowed}
    return told | {"of": with_download(settings["of"], allowed)} if "of" in settings else told


def without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings less WHERE, and likewise those of the whole."""
    kept = {key: value for key, value in settings.items() if key not in WHERE}
    return kept | {"of": without_places(kept["of"])} if "of" in kept else kept


def write_index(path: PathLike, split: Split) -> str:
    """Write row, label, class_name, group columns and source of every row; return the digest of the content."""
    import pyarrow
    import pyarrow.parquet

    columns = {
        "row": list(range(len(split))),
        "label": split.labels.tolist(),
        "class_name": [split.class_names[label] for label in split.labels],
        **{name: values.tolist() for name, values in split.groups.items()},
        "source": split.sources,
    }
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    return digest(columns)


def write_skipped(path: PathLike, split: Split, broken: dict[int, str]) -> None:
    """Write source and reason of every row that was left out, one a line below a head; only the head if there is none."""
    lines = ["source\treason", *(f"{split.sources[row]}\t{reason}" for row, reason in broken.items())]
    write_bytes(path, ("\n".join(lines) + "\n").encode(errors="replace"))


if __name__ == "__main__":
    command.run(main)
