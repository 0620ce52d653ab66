"""Write one data set, both splits, as .beton files with an index and a sidecar each."""

from pathlib import Path

from workflow_scripts.timecat import command
from workflow_scripts.timecat.artifacts import atomic_path, digest, write_sidecar
from workflow_scripts.timecat.datasets import Split, read_split
from workflow_scripts.timecat.sole_writer import sole_writer

RAW = {"write_mode": "raw", "quality": 100}  # how made images are stored, which the config does not say


def write_index(path, split: Split) -> str:
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


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--settings", required=True, type=command.json_value, help="the data set's block of the config")
    parser.add_argument("--workers", required=True, type=int)
    for split in ("train", "evaluation"):
        parser.add_argument(f"--{split}", required=True, type=Path, help=".beton")
        parser.add_argument(f"--{split}-index", required=True, type=Path, help=".parquet")
    arguments = parser.parse_args()

    with sole_writer(arguments.train.parent, "train.", "evaluation."):
        for name in ("train", "evaluation"):
            write_split(arguments, name)


def write_split(arguments, name: str) -> None:
    """Write one split: .beton, index, sidecar."""
    from workflow_scripts.timecat.ffcv_writer import content_digest, write_beton
    from workflow_scripts.timecat.progress import Progress

    if name == "train":
        command.log_start_up()
    beton, index = getattr(arguments, name), getattr(arguments, f"{name}_index")
    split = read_split(arguments.settings, name)
    progress = Progress(len(split), f"{arguments.name} {name}", "images")
    storage = arguments.settings.get("storage", RAW)
    # Larger images are reduced when they are read (datasets.image_files), by torchvision's filter and not by FFCV's.
    encoding = {
        "write_mode": storage["write_mode"],
        "max_resolution": None,
        "jpeg_quality": storage["quality"],
    }
    write_beton(beton, split, encoding, arguments.workers, lambda done, total: progress.advance(done - progress.done))
    progress.close()
    index_digest = write_index(index, split)
    write_sidecar(
        beton,
        content=digest([content_digest(beton, arguments.workers), index_digest]),
        params=arguments.settings | {"storage": storage, "split": name},
        inputs={},
        facts={"data_set": arguments.name, "rows": len(split), "classes": len(split.class_names)},
    )
    command.log(f"{arguments.name} {name}: {len(split)} images of {len(split.class_names)} classes")


if __name__ == "__main__":
    command.run(main)
