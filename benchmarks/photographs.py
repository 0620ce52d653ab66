"""Make image files and a .beton file from pieces of the two photographs that ship with scikit-learn."""

from pathlib import Path

import numpy as np
import sklearn.datasets
from PIL import Image

from tests.support.images import settings_of, write_data_set

HEIGHT, WIDTH, QUALITY = 375, 500, 90  # as most of ImageNet's images
CLASSES = 4


def make_photographs(folder: Path, number: int, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Write ``folder/train/CLASS/*.jpg``: random pieces of photographs, enlarged to one size.

    The sides of a piece are at least two fifths of the photograph's sides.
    """
    shipped = Path(sklearn.datasets.__file__).parent / "images"
    photographs = [Image.open(path).convert("RGB") for path in sorted(shipped.glob("*.jpg"))]
    random = np.random.default_rng(0)
    for count in range(number):
        photograph = photographs[count % len(photographs)]
        share = random.uniform(0.4, 1) * min(photograph.width / width, photograph.height / height)
        left = random.uniform(0, photograph.width - share * width)
        top = random.uniform(0, photograph.height - share * height)
        box = (left, top, left + share * width, top + share * height)
        path = folder / f"train/class{count % CLASSES}/{count:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph.resize((width, height), Image.Resampling.BICUBIC, box).save(path, quality=QUALITY)
    return folder


def kilobytes(folder: Path) -> float:
    """Return the mean size in kB of the JPEG files below a folder."""
    return np.mean([path.stat().st_size for path in folder.rglob("*.jpg")]) / 1000


def write_photographs(folder: Path) -> Path:
    """Write the photographs of a folder to train.beton in that folder, with unchanged JPEG data; return its path."""
    return write_data_set("photographs", "train", settings_of("train", kind="image_folder", root=str(folder)), folder)
