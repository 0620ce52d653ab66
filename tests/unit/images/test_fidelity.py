"""Compare network inputs with torchvision's pipeline on the same files (photographs if available, else drawings)."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch

from tests.support import settings as made
from tests.support.images import draw_folder, drawn, read_split, real_images, save, settings_of, write_data_set
from tests.support.torchvision_pipeline import as_input, center_view, opened, random_view, random_view_horizontal_first
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv.format import describe
from workflow_scripts.timecat.images.ffcv.reader import batches

KEY = views.view_key(0, "photographs", 0)
TRANSFORM = {"size": 48, "scale": [0.2, 1.0], "ratio": [0.75, 4 / 3], "flip": 0.5, "center_ratio": 0.875}
TRANSFORM |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Folder of images of three sizes: scikit-learn's photographs, and small photographs (or drawings)."""
    folder = tmp_path_factory.mktemp("photographs")
    shipped = Path(sklearn.datasets.__file__).parent / "images"
    save(folder / "train/large/drawn.jpg", drawn(90, 70), quality=92)
    for path in shipped.glob("*.jpg"):
        shutil.copy(path, folder / "train/large" / path.name)
    real = real_images(tmp_path_factory.mktemp("unpacked"))
    if real is None:
        draw_folder(folder / "train/jpeg", {"a": 12}, "jpg", (64, 64))
        draw_folder(folder / "train/png", {"b": 12}, "png", (32, 32))
    else:
        for name, place in zip(("jpeg", "png"), real.values(), strict=True):
            (folder / "train" / name).mkdir()
            paths = sorted(place.glob("train/*/*"))
            for path in paths[:: len(paths) // 12][:12]:
                shutil.copy(path, folder / "train" / name / path.name)
    return folder


def compared(root: Path, folder: Path, interpolation: str, center: bool, crop=random_view, **storage) -> list[tuple]:
    """Return (source, this project's input, torchvision's input) of every image; inputs are float32 [3, 48, 48].

    This project's inputs come from the stage and the reader. crop: function that makes torchvision's random view.
    """
    block = {"kind": "image_folder", "root": str(root), "storage": storage}
    beton = write_data_set("photographs", "train", settings_of("train", **block), folder)
    sources = read_split(settings_of("train", **block), "train").sources
    transform = made.transform(**TRANSFORM, interpolation=interpolation)
    tables, found = describe(beton), []
    rows = np.arange(tables.rows)
    boxes, flips = views.random_boxes(KEY, rows, tables.heights, tables.widths, transform)
    for batch, images, _ in batches(beton, rows, 16, transform, None if center else KEY):
        for row, ours in zip(batch, views.normalise(images, transform), strict=True):
            image = opened(root / sources[row])
            if center:
                view = center_view(image, transform, interpolation)
            else:
                assert image.size == (tables.widths[row], tables.heights[row])
                view = crop(image, boxes[row], flips[row], transform, interpolation)
            found.append((sources[row], ours, as_input(view, transform)))
    assert len(found) == 27
    return found


def levels(ours, theirs) -> torch.Tensor:
    """Return the absolute difference of two inputs in grey levels."""
    return ((ours - theirs) * torch.tensor(TRANSFORM["std"]).view(3, 1, 1) * 255).abs()


@pytest.mark.parametrize("center", [False, True], ids=["random", "center"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_views_of_stored_pixels_nearly_equal_torchvisions(root, tmp_path, interpolation, center):
    """The difference is at most two grey levels if both pipelines resize the two axes in the same order."""
    storage = {"write_mode": "raw", "longest_side": None}
    for source, ours, theirs in compared(
        root, tmp_path, interpolation, center, random_view_horizontal_first, **storage
    ):
        difference = levels(ours, theirs)
        assert difference.max() < 2.01 and difference.mean() < 0.1, source
    # The newest Pillow resizes the two axes of some crops in the opposite order, which changes more grey levels.
    means = []
    for source, ours, theirs in compared(root, tmp_path, interpolation, center, random_view, **storage):
        difference = levels(ours, theirs)
        means.append(difference.mean())
        assert difference.max() < 20 and difference.mean() < 1, source
    assert np.median(means) < 0.1  # crops with the opposite order are rare


@pytest.mark.parametrize("center", [False, True], ids=["random", "center"])
def test_views_of_kept_jpegs_nearly_equal_torchvisions(root, tmp_path, center):
    """Differences come from the rounding of FFCV's JPEG decoder."""
    found = compared(root, tmp_path, "bilinear", center, write_mode="jpg", longest_side=None)
    for source, ours, theirs in found:
        if source.endswith(".jpg") or source.endswith(".JPEG"):
            assert levels(ours, theirs).mean() < 1.5, source


def test_images_stored_at_the_evaluation_size_equal_torchvisions_exactly(root, tmp_path):
    """Images are stored with the short side of evaluation. Smaller photographs, which must be enlarged, may differ."""
    short = round(TRANSFORM["size"] / TRANSFORM["center_ratio"])
    found = compared(root, tmp_path, "bilinear", True, write_mode="raw", longest_side=None, shortest_side=short)
    equal = [source for source, ours, theirs in found if levels(ours, theirs).max() < 1e-3]
    assert set(equal) >= {source for source, *_ in found if source.startswith(("train/large", "train/jpeg"))}


def test_kept_jpegs_are_closer_to_torchvision_than_encoded_ones(root, tmp_path, monkeypatch):
    def mean(folder):
        found = compared(root, folder, "bilinear", False, write_mode="jpg", longest_side=None, quality=95)
        return np.mean([levels(ours, theirs).mean() for source, ours, theirs in found if "large" in source])

    kept = mean(tmp_path / "kept")
    monkeypatch.setattr(
        "workflow_scripts.timecat.images.datasets.image_files.read_unchanged_jpeg", lambda *arguments: None
    )
    assert kept < 0.8 * mean(tmp_path / "encoded")
