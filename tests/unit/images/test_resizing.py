"""Compare resizing with Pillow, which torchvision's pipeline on files uses."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support import settings as made
from workflow_scripts.timecat.images import resizing
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import center_boxes, resized_sides

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image with smooth parts, edges and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 100 * np.sin(y / 5)[..., None] * np.cos(x / 7)[..., None] * [1, 0.5, -1]
    waves[height // 3 :, width // 2 :] = random.integers(0, 256, 3)
    return np.clip(waves + random.normal(0, 10, waves.shape), 0, 255).astype(np.uint8)


def transform(interpolation: str, **changes) -> Transform:
    values = {"size": 56, "scale": [0.8, 1.0], "ratio": [0.75, 4 / 3], "flip": 0.5, "center_ratio": 0.875}
    return made.transform(**values | changes, mean=[0.5] * 3, std=[0.25] * 3, interpolation=interpolation)


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (90, 71)], ids=["enlarged", "reduced"])
def test_a_random_view_nearly_equals_pillows(interpolation, height, width):
    """The difference is at most two grey levels."""
    box = (3, 1, 27, 30) if height == 32 else (5, 0, 80, 71)
    image = drawn(height, width)
    top, left, crop_height, crop_width = box
    crop = Image.fromarray(image[top : top + crop_height, left : left + crop_width])
    wanted = np.asarray(crop.resize((56, 56), FILTERS[interpolation]))
    found = resizing.random_view(image, box, transform(interpolation))
    difference = np.abs(found.astype(int) - wanted.astype(int))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.05


def test_enlarging_is_not_nearest_neighbour():
    """FFCV's resizing enlarges by nearest neighbour, whereas the paper uses bicubic interpolation."""
    image = drawn(28, 28)
    nearest = np.asarray(Image.fromarray(image).resize((56, 56), Image.Resampling.NEAREST))
    found = resizing.random_view(image, (0, 0, 28, 28), transform("bicubic"))
    assert np.abs(found.astype(int) - nearest.astype(int)).mean() > 1


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(90, 71), (64, 101), (33, 32)])
def test_the_centre_view_nearly_equals_pillows(interpolation, height, width):
    """The difference is at most two grey levels."""
    image = drawn(height, width)
    short = 64
    sides = (short, int(short * height / width)) if width < height else (int(short * width / height), short)
    resized = np.asarray(Image.fromarray(image).resize(sides, FILTERS[interpolation]))
    top, left = (round((side - 56) / 2) for side in resized.shape[:2])
    difference = resizing.center_view(image, transform(interpolation)).astype(int)
    difference = np.abs(difference - resized[top : top + 56, left : left + 56])
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.05


def test_an_image_with_the_resized_short_side_is_only_cropped():
    """Images stored with a short side of 256 therefore give exactly torchvision's evaluation crop."""
    image = drawn(64, 85)
    assert resized_sides(64, 85, transform("bilinear")) == (64, 85)
    (top, left, height, width), *_ = center_boxes([64], [85], transform("bilinear"))
    found = resizing.center_view(image, transform("bilinear"))
    assert np.array_equal(found, image[top : top + height, left : left + width])


def test_a_read_only_image_gives_no_warning(recwarn):
    image = drawn(40, 40)
    image.flags.writeable = False
    resizing.random_view(image, (0, 0, 40, 40), transform("bilinear"))
    assert not recwarn.list


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_channels_last_layout_does_not_change_the_result(interpolation):
    """The result has channels last, too. The expected images come from the same function on separate colour planes."""
    random = np.random.default_rng(0)
    for sides in [(1, 1), (1, 9), (9, 1), (3, 500), *random.integers(1, 300, (40, 2)).tolist()]:
        image = random.integers(0, 256, (*sides, 3)).astype(np.uint8)
        height, width = random.integers(1, 260, 2).tolist()
        planes = torch.from_numpy(image).permute(2, 0, 1).contiguous()[None]
        how = {"mode": interpolation, "align_corners": False, "antialias": True}
        wanted = torch.nn.functional.interpolate(planes, (height, width), **how)[0].permute(1, 2, 0).numpy()
        made = resizing.resize(image, height, width, interpolation)
        assert np.array_equal(made, wanted) and made.flags.c_contiguous
