"""Compare pixels and features between each way to store images and torchvision's pipeline.

    python -m benchmarks.fidelity --photographs FOLDER --cifar FOLDER --weights FILE.safetensors

FOLDER contains CLASS/* or train/CLASS/*. Images of --photographs are shown at 32 px as in config/photos.yaml, images
of --cifar at 224 px as in the paper. The two photographs that ship with scikit-learn are always included, at 224 px.
Writes docs/explanation/fidelity.md.
"""

import argparse
import importlib.metadata
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import sklearn.datasets
import torch

from tests.support.studies import ROOT
from tests.support.torchvision_pipeline import center_view, opened, random_view, random_view_of_reduced
from workflow_scripts.timecat.checkpoints import files as checkpoints
from workflow_scripts.timecat.config.data_sets import CifarTransform, PhotoTransform
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.datasets.image_files import ImageFiles, files_below
from workflow_scripts.timecat.images.datasets.settings import StorageSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.images.ffcv.format import describe
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.runtime import torch_settings


def as_stored(write_mode: Literal["jpg", "raw"], quality: int, longest: int | None = None, shortest: int | None = None):
    """Return settings for storing images. longest, shortest: side in pixels to which images are reduced, if any."""
    return StorageSettings(write_mode=write_mode, longest_side=longest, shortest_side=shortest, quality=quality)


STORED = {  # storage settings, and whether JPEG data is kept (the default)
    "pixels": (as_stored("raw", 100), True),
    "JPEG kept": (as_stored("jpg", 95), True),
    "JPEG encoded again, quality 95": (as_stored("jpg", 95), False),
    "JPEG encoded again, quality 90": (as_stored("jpg", 90), False),
}
REDUCED = {
    "longest side 500, JPEG 95": (as_stored("jpg", 95, longest=500), True),
    "shortest side 256, pixels": (as_stored("raw", 100, shortest=256), True),
    "shortest side 256, JPEG 95": (as_stored("jpg", 95, shortest=256), True),
}
KEY = views.view_key(0, "fidelity", 0)
OTHER_KEY = views.view_key(0, "fidelity", 1)


HEAD = [
    "# Fidelity",
    "",
    "Made by `python -m benchmarks.fidelity` with Pillow "
    f"{importlib.metadata.version('pillow')}, torch {importlib.metadata.version('torch')} and torchvision "
    f"{importlib.metadata.version('torchvision')}.",
    "",
    "The tables compare inputs of this workflow with those that torchvision's pipeline makes from the same files with",
    "the same crops and flips (Pillow decodes; RandomResizedCrop, or Resize and CenterCrop, make the view). Pixels:",
    "absolute differences in grey levels (0 to 255): mean, 99th percentile, maximum, and the share that is 0.",
    "Features: the mean cosine between the features of both inputs minus the set's mean features, so that it measures",
    "what distinguishes images; 1 is equal. Rows in italics change torchvision's pipeline, for scale. `bilinear` and",
    "`bicubic` are the defaults for their kinds of images, and the reference; `area` is FFCV's resize.",
    "",
    "The backbone: {backbone}. If it was trained at 32 px, its features at 224 px serve only to compare rows.",
    "",
]
TAIL = [
    "## Conclusions",
    "",
    "- Pixels stored unchanged give torchvision's views except for the rounding of a resize in two passes, which",
    "  Pillow 13 swaps on tall crops (earlier versions, and torchvision on tensors, have this workflow's order).",
    "- A kept JPEG differs by about one grey level, because FFCV's decoder uses a faster and coarser transform.",
    "  Encoding it again adds as much or more; quality 95 is not better than 90 for files that were encoded with 90.",
    "- Reducing images before they are stored costs more than all other steps together, especially in",
    "  random views, whose pixels are interpolated twice. `longest_side: 500`, the default, does not change",
    "  images of 500 px or less; `null` keeps larger ones too. `shortest_side: 256` with `write_mode: raw`",
    "  gives the centre view bit for bit, and suits data that is only evaluated at 224 px.",
    "- `area` takes the nearest pixel where it enlarges, as for CIFAR at 224 px. Its centre view is a",
    "  different box from Resize's: less than a pixel off at 224 px; at 32 px it shows 56 of 64 pixels and",
    "  torchvision 55.4, shifted. Either definition is valid, as long as training and evaluation share it.",
]


@dataclass(frozen=True)
class ImageSet:
    """A set of image files and the settings for comparing them. repeats: number of random views of each file."""

    title: str
    root: Path
    names: list[str]
    transform: views.Transform
    stored: dict
    repeats: int = 1

    def rows(self, key) -> list[str]:
        """Return the file names of a view's rows, repeated in random views only (centre views would all be equal)."""
        return self.names * (1 if key is None else self.repeats)


def image_sets(arguments) -> list[ImageSet]:
    """Return the sets of images that are compared: those on the command line and scikit-learn's photographs."""
    photo, cifar = PhotoTransform().settings(), CifarTransform().settings()
    shipped = Path(sklearn.datasets.__file__).parent / "images"
    names = sorted(path.name for path in shipped.glob("*.jpg"))
    repeats = arguments.images // len(names)
    title = f"{len(names)} photographs of 640 x 427 (JPEG, scikit-learn's), {repeats} random views each, at 224 px"
    sets = [ImageSet(title, shipped, names, photo, STORED | REDUCED, repeats)]
    for root in arguments.photographs:
        names = some_of(root, arguments.images)
        transform = replace(photo, size=32, scale=(0.25, 1.0))
        sets.append(ImageSet(f"{len(names)} images of {title_of(root)}, at 32 px", root, names, transform, STORED))
    for root in arguments.cifar:
        names = some_of(root, arguments.images)
        stored = {name: how for name, how in STORED.items() if name != "JPEG kept"}
        title = f"{len(names)} images of {title_of(root)} (PNG), at 224 px"
        sets.append(ImageSet(title, root, names, cifar, stored))
    return sets


def title_of(root: Path) -> str:
    """Return a folder's name, with its parent's name if the folder is a split."""
    return "/".join(root.parts[-2:]) if root.name in ("train", "val") else root.name


def some_of(root: Path, number: int) -> list[str]:
    """Return the names of ``number`` images, spread evenly over the folder."""
    names = [str(Path(path).relative_to(root)) for path in files_below(root)]
    return [names[int(place)] for place in np.linspace(0, len(names) - 1, min(number, len(names)))]


# --- inputs ---


def stored_inputs(images: ImageSet, how: tuple, interpolation: str, key, folder: Path) -> tuple:
    """Store all images and return (inputs uint8 [n, size, size, 3], stored heights, stored widths)."""
    storage, keep = how
    files = ImageFiles(images.root, images.rows(key), storage)
    split = Split(files if keep else _Decoded(files), np.zeros(len(files), np.int64), ["any"], files.names)
    encoding = {"write_mode": storage.write_mode, "max_resolution": None, "jpeg_quality": storage.quality}
    path, transform = folder / "images.beton", replace(images.transform, interpolation=interpolation)
    write_beton(path, split, encoding, 2)
    found = [batch for _, batch, _ in batches(path, np.arange(len(split)), 32, transform, key, 2)]
    tables = describe(path)
    return torch.cat(found), tables.heights, tables.widths


class _Decoded:
    """Image files whose JPEG data is always decoded, never kept."""

    def __init__(self, files: ImageFiles):
        self.files = files

    def __getitem__(self, row):
        image = self.files[row]
        return image if isinstance(image, np.ndarray) else image.pixels()


def torchvision_inputs(images: ImageSet, interpolation: str, key, heights=None, widths=None) -> torch.Tensor:
    """Return torchvision's views, uint8 [n, size, size, 3].

    heights, widths: sides of the stored images in pixels, within which crop boxes are drawn.
    """
    found, transform = [], images.transform
    opened_images = [opened(images.root / name) for name in images.rows(key)]
    if heights is None:
        heights, widths = (np.array([getattr(image, side) for image in opened_images]) for side in ("height", "width"))
    if key is not None:
        boxes, flips = views.random_boxes(key, np.arange(len(heights)), heights, widths, transform)
    for row, image in enumerate(opened_images):
        sides = int(heights[row]), int(widths[row])
        if key is None:
            view = center_view(image, transform, interpolation)
        elif sides == (image.height, image.width):
            view = random_view(image, boxes[row], flips[row], transform, interpolation)
        else:
            view = random_view_of_reduced(image, sides, boxes[row], flips[row], transform, interpolation)
        found.append(torch.from_numpy(np.array(view)))
    return torch.stack(found)


# --- features ---


def read_or_make_backbone(weights: Path | None) -> tuple:
    """Return the backbone of a checkpoint, or an untrained ResNet-18, and a text that describes it."""
    if weights is not None:
        backbone, says = checkpoints.read_backbone(weights)
        return backbone, f"{says['backbone']['architecture']} pretrained on {says['source']}, step {says['step']}"
    from torchvision.models import resnet18

    torch.manual_seed(0)
    backbone = resnet18(weights=None)
    backbone.fc = torch.nn.Identity()
    return backbone.eval(), "an untrained ResNet-18"


@torch.no_grad()
def features(backbone, inputs: torch.Tensor, transform: views.Transform) -> torch.Tensor:
    """Return the features of inputs, float64 [n, d]."""
    return torch.cat([backbone(views.normalise(part, transform)) for part in inputs.split(32)]).double()


def cosine(found: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the mean cosine between features [n, d] and the reference, after subtracting the reference's mean."""
    center = reference.mean(0)
    return torch.nn.functional.cosine_similarity(found - center, reference - center).mean().item()


# --- the page ---


def figures(found: torch.Tensor, wanted: torch.Tensor, backbone, transform: views.Transform) -> str:
    """Return the cells of a row: differences of pixels in grey levels, and the cosine of features."""
    difference = (found.int() - wanted.int()).abs().flatten().numpy()
    mean, percentile, largest = difference.mean(), np.percentile(difference, 99), difference.max()
    alike = cosine(*(features(backbone, inputs, transform) for inputs in (found, wanted)))
    return f"{mean:.2f} | {percentile:.0f} | {largest} | {100 * (difference == 0).mean():.1f} | {alike:.4f}"


def rows_of(images: ImageSet, backbone, folder: Path) -> list[str]:
    """Return the rows of the table of one set of images."""
    own, transform, lines = images.transform.interpolation, images.transform, []
    other = "bilinear" if own == "bicubic" else "bicubic"
    for view, key in (("centre", None), ("random", KEY)):
        for stored, how in images.stored.items():
            for interpolation in (own, "area") if stored == "pixels" else (own,):
                found, *sides = stored_inputs(images, how, interpolation, key, folder)
                # Crops are drawn in pixels of the stored image, so each way to store has a separate reference.
                wanted = torchvision_inputs(images, own, key, *sides)
                lines.append(f"| {view} | {stored} | {interpolation} | {figures(found, wanted, backbone, transform)} |")
        wanted = torchvision_inputs(images, own, key)
        changed = {f"{other} for {own}": torchvision_inputs(images, other, key)}
        if key is not None:
            changed["another random view"] = torchvision_inputs(images, own, OTHER_KEY)
        for name, found in changed.items():
            lines.append(
                f"| {view} | *torchvision itself* | *{name}* | {figures(found, wanted, backbone, transform)} |"
            )
    return lines


def main() -> None:
    """Read the command line, compare and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, nargs="*", default=[])
    parser.add_argument("--cifar", type=Path, nargs="*", default=[])
    parser.add_argument("--weights", type=Path, help="a checkpoint of this workflow (default: an untrained ResNet-18)")
    parser.add_argument("--images", type=int, default=200, help="images of each set")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/explanation/fidelity.md")
    arguments = parser.parse_args()
    torch_settings.configure(2)
    backbone, what = read_or_make_backbone(arguments.weights)
    page = [line.format(backbone=what) for line in HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for images in image_sets(arguments):
            columns = ["view", "stored as", "resized by", "mean", "99 %", "max", "equal, %", "cosine"]
            page += [f"## {images.title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
            page += [*rows_of(images, backbone, Path(folder)), ""]
            print("\n".join(page), flush=True)
    arguments.page.write_text("\n".join([*page, *TAIL]) + "\n")


if __name__ == "__main__":
    main()
