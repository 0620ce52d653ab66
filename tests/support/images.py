"""Draw small images in each folder layout that the project reads, and read and write data sets in tests.

Some tests use real photographs if the machine has them, or else drawn images.
"""

import csv
import hashlib
import json
import os
import pickle
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.support.studies import ROOT, TINY
from workflow_scripts import write_dataset
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.images.datasets import registry
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import SplitKey

REAL = ("tinyimagenet100", "cifar100-15k")  # folders NAME/train/CLASS/* and NAME/val/CLASS/*, or archives NAME.tar


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image with smooth parts, an edge and noise, uint8 [height, width, 3]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 100 * np.sin(y / 5 + seed)[..., None] * np.cos(x / 7)[..., None] * [1, 0.5, -1]
    waves[height // 3 :, width // 2 :] = random.integers(0, 256, 3)
    return np.clip(waves + random.normal(0, 10, waves.shape), 0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray, mode: str = "RGB", **options) -> Path:
    """Save an image, converted to a mode of Pillow, and make its parent folders; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).convert(mode).save(path, **options)
    return path


def draw_folder(folder: Path, counts: dict[str, int], suffix: str = "png", sides=(20, 24)) -> Path:
    """Draw ``folder/CLASS/*`` with ``counts[CLASS]`` images of each class, all different; return the folder."""
    for seed, (name, count) in enumerate(counts.items()):
        for number in range(count):
            save(folder / name / f"{number:03d}.{suffix}", drawn(*sides, 1000 * seed + number))
    return folder


def draw_image_folder(root: Path, counts: dict[str, int], suffix: str = "png", sides=(20, 24)) -> Path:
    """Draw train/CLASS/* with ``counts[CLASS]`` images, and val/CLASS/* with two images per class; return ``root``."""
    draw_folder(root / "train", counts, suffix, sides)
    draw_folder(root / "val", dict.fromkeys(counts, 2), suffix, sides)
    return root


def draw_inaturalist(root: Path, train: list[str], val: list[str]) -> Path:
    """Draw images in the layout of iNaturalist 2018.

    train, val: the directory of each image, such as ``Aves/2761``, in the order of the JSON lists.
    """
    for seed, (split, directories) in enumerate({"train": train, "val": val}.items()):
        listed = []
        for number, directory in enumerate(directories):
            name = f"train_val2018/{directory}/{split}{number:03d}.jpg"
            save(root / name, drawn(24, 30, 1000 * seed + number), quality=90)
            listed.append({"id": number, "file_name": name, "width": 30, "height": 24})
        (root / f"{split}2018.json").write_text(json.dumps({"images": listed, "annotations": []}))
    return root


def draw_camelyon(root: Path, rows: list[dict]) -> Path:
    """Draw images in the layout of Camelyon17 in WILDS; return the root folder.

    rows: values that differ from the defaults, one dict per row of metadata.csv.
    """
    root.mkdir(parents=True, exist_ok=True)
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    with open(root / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *columns])
        for number, changes in enumerate(rows):
            row = {"patient": "004", "node": 4, "x_coord": number, "y_coord": 7, "tumor": number % 2} | changes
            row = {"slide": 10 * row["center"], **row}
            writer.writerow([number, *(row[name] for name in columns)])
            case = f"patient_{row['patient']}_node_{row['node']}"
            name = f"patch_{case}_x_{row['x_coord']}_y_{row['y_coord']}.png"
            save(root / "patches" / case / name, drawn(12, 12, number), "RGBA")
    return root


def draw_cifar(root: Path, kind: str, monkeypatch, rows: int = 10) -> dict[str, np.ndarray]:
    """Write small unpacked files of torchvision's CIFAR10 or CIFAR100, and return the images of each split.

    The images are uint8 [N, 32, 32, 3]; the label of row i of a file is i modulo the number of classes. torchvision's
    list of md5 sums is patched to accept the files. kind: ``cifar10`` or ``cifar100``. rows: number of images per file.
    """
    from torchvision import datasets

    reader = getattr(datasets, kind.upper())
    hundred = kind == "cifar100"
    images = {"train": [], "evaluation": []}

    def dump(name: str, content: dict) -> str:
        path = root / reader.base_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5(path.read_bytes()).hexdigest()

    for split, attribute in (("train", "train_list"), ("evaluation", "test_list")):
        files = []
        for number, (name, _) in enumerate(getattr(reader, attribute)):
            batch = np.stack([drawn(32, 32, 100 * number + row + 50 * (split == "train")) for row in range(rows)])
            images[split].append(batch)
            content = {"data": batch.transpose(0, 3, 1, 2).reshape(rows, -1)}
            content["fine_labels" if hundred else "labels"] = [row % (100 if hundred else 10) for row in range(rows)]
            files.append([name, dump(name, content)])
        monkeypatch.setattr(reader, attribute, files)
    names = [f"class{number:02d}" for number in range(100 if hundred else 10)]
    md5 = dump(reader.meta["filename"], {reader.meta["key"]: names})
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5})
    return {split: np.concatenate(batches) for split, batches in images.items()}


def real_images(folder: Path, per_class: int = 2, classes: int = 20) -> dict[str, Path] | None:
    """Return the root folders of real photographs by the names in REAL, or None if they are not on this machine.

    A root has train/CLASS/* and val/CLASS/*. The function looks in the folder that the environment variable
    TIMECAT_IMAGES names, or else in shared/data beside the repository. It unpacks ``per_class`` images of ``classes``
    classes of a .tar archive into ``folder``.
    """
    place = Path(os.environ.get("TIMECAT_IMAGES") or ROOT.parent / "shared/data")
    found = {}
    for name in REAL:
        if (place / name / "train").is_dir():
            found[name] = place / name
        elif (place / f"{name}.tar").is_file():
            _unpack(place / f"{name}.tar", folder, per_class, classes)
            found[name] = folder / name
    return found if len(found) == len(REAL) else None


def _unpack(archive: Path, folder: Path, per_class: int, classes: int) -> None:
    taken: dict[tuple, int] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            *_, split, name, _ = ("", "", *Path(member.name).parts)
            known = {key[1] for key in taken}
            if member.isfile() and (name in known or len(known) < classes) and taken.get((split, name), 0) < per_class:
                taken[split, name] = taken.get((split, name), 0) + 1
                (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
                # Not tar.extract: Python 3.11.2 of Debian has no extraction filters.
                (folder / member.name).write_bytes(tar.extractfile(member).read())


def settings_of(split: str, **block) -> dict:
    """Return the settings of a split as the rule passes them to the stage write_dataset.

    block: keys of the data set's block in the config.
    """
    values = yaml.safe_load((ROOT / TINY).read_text())
    own = {"source": values["data_sets"][values["source"]]}  # a folder for evaluation only may refer to it
    values["data_sets"] |= own | {"it": block}
    study = Study(read_config(values, []))
    wildcards = SplitKey("it", split)
    told = json.loads(study.params.data_set(wildcards))
    if not hasattr(study.config.data_sets["it"], "download"):
        return told
    return told | {"download": study.resources.may_download(wildcards) == "true"}


def read_split(told: Mapping, split: str, probed_classes: Sequence[str | None] | None = None) -> Split:
    """Read a split of a data set, given its settings as a dict (see settings_of)."""
    return registry.read_split(registry.as_settings(told), split, probed_classes)


def write_data_set(name: str, split: str, settings: dict, folder: Path, workers: int = 1, probed: Path | None = None):
    """Run the stage write_dataset in this process, as its rule does, and return the path FOLDER/SPLIT.beton.

    probed: source of the class numbers: the folder of the data set ``probe_of``, which must have an evaluation split,
    or the .beton file of a part's training rows.
    """
    told = {key: value for key, value in settings.items() if key != "download"}
    options = ["--name", name, "--split", split, "--settings", json.dumps(told), "--workers", str(workers)]
    options += ["--download", str(settings.get("download", False)).lower()]
    if probed is not None:
        beton = probed if probed.suffix == ".beton" else probed / "evaluation.beton"
        options += ["--probed-sidecar", f"{beton}.json", "--probed-index", str(beton.with_suffix(".index.parquet"))]
    for output, end in (("beton", "beton"), ("index", "index.parquet"), ("skipped", "skipped.tsv")):
        options += [f"--{output}", str(folder / f"{split}.{end}")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["write_dataset", *options])
        write_dataset.main()
    return folder / f"{split}.beton"
