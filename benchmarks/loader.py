"""Compare the loader alone with torch's DataLoader and torchvision: the same JPEG files, crops, flips and resizing."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.io import decode_jpeg, read_file
from torchvision.transforms.v2 import functional

from benchmarks.photographs import HEIGHT, WIDTH, kilobytes, make_photographs, write_photographs
from benchmarks.rates import rates
from benchmarks.timing import REPEATS
from workflow_scripts.timecat.config.data_sets import PhotoTransform
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv.format import describe, usable_workers
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.runtime import torch_settings

FILES, PASSES, BATCH = 300, 3, 64
KEY = views.view_key(0, "photographs", 0)
DECODERS = ("Pillow", "torchvision.io")


class Folder(Dataset):
    """torchvision's ImageFolder with the crop boxes and flips of a view. Rows are (uint8 [3, size, size], label).

    decoder: one of DECODERS. The boxes are computed beforehand, so the time for them is not measured.
    """

    def __init__(self, root: Path, beton: Path, transform: views.Transform, decoder: str):
        self.samples, self.decoder = ImageFolder(root).samples, decoder
        tables, self.size = describe(beton), [transform.size] * 2
        rows = np.arange(tables.rows)
        self.boxes, self.flips = views.random_boxes(KEY, rows, tables.heights, tables.widths, transform)
        self.how = functional.InterpolationMode(transform.interpolation)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int):
        path, label = self.samples[row]
        if self.decoder == "Pillow":
            with Image.open(path) as file:
                image = file.convert("RGB")
        else:
            image = decode_jpeg(read_file(path))
        image = functional.resized_crop(image, *self.boxes[row].tolist(), self.size, self.how, antialias=True)
        image = functional.horizontal_flip(image) if self.flips[row] else image
        return functional.pil_to_tensor(image) if self.decoder == "Pillow" else image, label


def torchvision_batches(folder: Folder, rows, batch_size: int, workers: int):
    """Return torch's DataLoader for the rows. It yields (images uint8 [b, 3, size, size], labels)."""
    return DataLoader(folder, batch_size, sampler=rows, num_workers=workers)


def our_batches(beton: Path, rows, batch_size: int, transform: views.Transform, workers: int):
    """Yield (images uint8 [b, size, size, 3], labels) of the rows, read by the same reader as in the stages."""
    for _, images, labels in batches(beton, rows, batch_size, transform, KEY, workers):
        yield images, labels


def exhaust(loader) -> int:
    """Read all batches and return the number of images."""
    return sum(len(labels) for _, labels in loader)


def section() -> list[str]:
    """Measure, and return this section's lines of the page."""
    torch_settings.configure(1)
    warnings.filterwarnings("ignore", message="The image decoding")  # torchvision.io is deprecated
    with tempfile.TemporaryDirectory() as name:
        folder = make_photographs(Path(name), FILES)
        beton, size = write_photographs(folder), kilobytes(folder)
        return [
            "## The loader alone",
            "",
            f"{FILES} JPEG files of {WIDTH} x {HEIGHT} px ({size:.0f} kB each: pieces of the photographs that ship "
            f"with scikit-learn), {PASSES} passes in random",
            "order, random crops to 224 px, bilinear with antialias, with the same boxes and flips on both sides. "
            "torch's DataLoader reads torchvision's ImageFolder and decodes",
            "with Pillow, or with torchvision.io, whose decoder is libjpeg-turbo like ours. Per core: images per "
            "second of processor time of all threads and workers.",
            "",
            *loader_table(folder, beton),
        ]


def loader_table(folder: Path, beton: Path, size=224, passes=PASSES, batch=BATCH, repeats=REPEATS) -> list[str]:
    """Return a table of all loaders with one worker and with as many workers as cores."""
    transform = PhotoTransform(size=size).settings()
    number = describe(beton).rows * passes
    rows = np.random.default_rng(0).permutation(number) % describe(beton).rows
    folders = {decoder: Folder(folder / "train", beton, transform, decoder) for decoder in DECODERS}
    loaders = {}
    for workers in sorted({1, usable_workers(1000)}):
        loaders["ours", workers] = lambda workers=workers: exhaust(our_batches(beton, rows, batch, transform, workers))
        for decoder, files in folders.items():
            loaders[f"DataLoader, {decoder}", workers] = lambda workers=workers, files=files: exhaust(
                torchvision_batches(files, rows.tolist(), batch, workers)
            )
    found = rates(loaders, number, repeats)
    lines = ["| loader | workers | images/s | images/s per core | ours over it, per core |", "|---|---|---|---|---|"]
    for (name, workers), rate in found.items():
        times = found["ours", workers].core / rate.core
        lines.append(f"| {name} | {workers} | {rate.clock:.0f} | {rate.core:.0f} | {times:.2f} |")
    return lines


def same_images(folder: Path, beton: Path, size: int, decoder: str, key_of_other=KEY) -> torch.Tensor:
    """Return each row's mean difference in grey levels between our image and torchvision's, float64 [rows]."""
    transform = PhotoTransform(size=size).settings()
    rows = np.arange(describe(beton).rows)
    theirs = torchvision_batches(Folder(folder / "train", beton, transform, decoder), rows.tolist(), len(rows), 0)
    (((images, labels),), ((other, other_labels),)) = our_batches(beton, rows, len(rows), transform, 1), theirs
    if not torch.equal(labels, other_labels):
        raise AssertionError("labels differ")
    return (images.permute(0, 3, 1, 2).double() - other.double()).abs().mean((1, 2, 3))
