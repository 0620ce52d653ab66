"""Test that boxes and flips depend only on the key and the row, and that boxes equal torchvision's."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.references.views import random_box_reference
from tests.support import settings as made
from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime.json_arguments import json_of

SETTINGS = {
    "size": 32,
    "scale": [0.08, 1.0],
    "ratio": [0.75, 4 / 3],
    "flip": 0.5,
    "center_ratio": 0.875,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.25, 0.2, 0.1],
}
SIZES = [(32, 32), (1, 1), (3, 40), (40, 3), (64, 47), (375, 500), (500, 333), (7, 1200), (2000, 11)]


def transform(**changes):
    return made.transform(**SETTINGS | changes)


def random_boxes(rows, height, width, settings, key=7):
    return views.random_boxes(key, rows, np.full(len(rows), height), np.full(len(rows), width), settings)


def test_a_transform_is_built_from_json():
    text = canonical_json(transform())
    assert canonical_json(json_of(Transform)(text)) == text


@pytest.mark.parametrize("scale", [[0.08, 1.0], [0.9, 1.0]])
@pytest.mark.parametrize("ratio", [[0.75, 4 / 3], [1.0, 1.0], [2.0, 3.0]])
def test_boxes_equal_the_plain_reference(scale, ratio):
    settings = transform(scale=scale, ratio=ratio)
    rows = np.random.default_rng(0).integers(0, 2**40, 9 * 40)
    heights, widths = (np.tile(sides, 40) for sides in zip(*SIZES, strict=True))
    boxes, flips = views.random_boxes(11, rows, heights, widths, settings)
    assert boxes.dtype == np.int64 and flips.dtype == bool
    for row, height, width, box, flip in zip(rows, heights, widths, boxes, flips, strict=True):
        assert random_box_reference(11, row, height, width, settings) == (tuple(box), flip)


def test_the_fallback_is_the_central_box_of_the_nearest_ratio():
    # No box with nine tenths of the area of such a strip has an allowed ratio.
    rows, settings = np.arange(50), transform(scale=[0.9, 1.0])
    assert (random_boxes(rows, 30, 300, settings)[0] == [0, 130, 30, 40]).all()
    assert (random_boxes(rows, 301, 30, settings)[0] == [130, 0, 40, 30]).all()


def test_a_box_that_fits_only_at_a_later_attempt_is_used():
    settings = transform(scale=[0.5, 1.0])
    rows = np.arange(300)
    first_area = randomness.uniform(7, rows, 0)
    boxes = random_boxes(rows, 40, 50, settings)[0]
    later = boxes[:, 2] * boxes[:, 3] < 0.9 * 2000 * (0.5 + 0.5 * first_area)
    assert later.sum() > 5


def test_boxes_equal_torchvisions(monkeypatch):
    """Boxes are equal if torchvision's code receives the same random numbers."""
    from torchvision.transforms import transforms

    class Draws:
        """Replacement for torch's generator: two uniform numbers per attempt, and two integers once a box fits."""

        def __init__(self, row):
            self.row, self.uniforms, self.randints = row, 0, 0

        def number(self, draw):
            return float(randomness.uniform(7, self.row, draw))

        def uniform_(self, low, high):
            draw = views.DRAWS_PER_TRY * (self.uniforms // 2) + self.uniforms % 2
            self.uniforms += 1
            return torch.tensor(float(low) + float(high - low) * self.number(draw), dtype=torch.float64)

        def randint(self, low, high, size):
            self.randints += 1
            draw = views.DRAWS_PER_TRY * (self.uniforms // 2 - 1) + 1 + self.randints
            return torch.tensor(low + int((high - low) * self.number(draw)))

    settings = transform()
    for height, width in SIZES:
        for row in range(20):
            draws = Draws(row)
            stand_in = SimpleNamespace(
                tensor=lambda values: torch.tensor(values, dtype=torch.float64),
                log=torch.log,
                exp=torch.exp,
                empty=lambda size, draws=draws: draws,
                randint=draws.randint,
            )
            monkeypatch.setattr(transforms, "torch", stand_in)
            image = torch.empty(3, height, width)
            theirs = transforms.RandomResizedCrop.get_params(image, settings.scale, settings.ratio)
            assert tuple(random_boxes([row], height, width, settings)[0][0]) == tuple(theirs)


def test_center_boxes_equal_torchvisions():
    from torchvision.transforms.functional import center_crop

    settings = transform()
    for side in range(32, 64):
        crop = round(0.875 * 32)
        columns = torch.arange(side).expand(3, 32, side)
        top, left, height, width = views.center_boxes([32], [side], settings)[0]
        assert (height, width) == (crop, crop)
        assert torch.equal(columns[:, top : top + height, left : left + width], center_crop(columns, [crop, crop]))


def test_center_boxes_have_the_expected_values_for_several_sizes():
    boxes = views.center_boxes([256, 259, 100, 1], [259, 256, 640, 9], transform())
    assert boxes.tolist() == [[16, 18, 224, 224], [18, 16, 224, 224], [6, 276, 88, 88], [0, 4, 1, 1]]
    assert views.center_boxes([100], [100], transform(center_ratio=0.29))[0, 2] == 29  # 0.29 * 100 < 29


def test_a_rows_box_does_not_depend_on_the_rest_of_the_batch():
    rows = np.random.default_rng(1).permutation(500)
    heights, widths = 30 + rows % 50, 20 + rows % 70
    boxes, flips = views.random_boxes(5, rows, heights, widths, transform())
    some = slice(100, 137)
    again, flips_again = views.random_boxes(5, rows[some], heights[some], widths[some], transform())
    assert (again == boxes[some]).all() and (flips_again == flips[some]).all()


def test_boxes_are_the_same_as_in_earlier_versions():
    """Features on disk were computed with these boxes; different boxes would invalidate all features."""
    key = views.view_key(3, "digits", 1)
    boxes, flips = random_boxes([0, 1, 10**6], 32, 48, transform(), key)
    assert key == 5423305691597675692
    assert boxes.tolist() == [[0, 9, 32, 38], [1, 10, 26, 33], [3, 23, 21, 21]]
    assert flips.tolist() == [True, True, False]


def test_boxes_and_flips_have_the_configured_distribution():
    settings = transform(flip=0.25, scale=[0.2, 0.6])
    boxes, flips = random_boxes(np.arange(4000), 200, 200, settings)
    areas, ratios = boxes[:, 2] * boxes[:, 3] / 200**2, boxes[:, 3] / boxes[:, 2]
    assert abs(flips.mean() - 0.25) < 0.03
    assert 0.19 < areas.min() < 0.21 and 0.59 < areas.max() < 0.61 and abs(areas.mean() - 0.4) < 0.01
    assert 0.74 < ratios.min() < 0.77 and 1.30 < ratios.max() < 1.35 and abs(np.log(ratios).mean()) < 0.02
    free = 200 - boxes[:, 2:]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] <= free).all()
    assert abs((boxes[:, :2] / np.maximum(free, 1)).mean() - 0.5) < 0.02
    assert not random_boxes(np.arange(99), 9, 9, transform(flip=0.0))[1].any()
    assert random_boxes(np.arange(99), 9, 9, transform(flip=1.0))[1].all()


def test_keys_differ_by_seed_data_set_and_view():
    keys = {views.view_key(seed, name, view) for seed in (0, 1) for name in ("a", "b") for view in (0, 1, 10)}
    assert len(keys) == 12
    assert views.view_key(np.int64(1), "a", np.int64(10)) == views.view_key(1, "a", 10)
    assert views.view_key(1, "a", views.CENTER) is None


def test_normalise_standardises_each_channel():
    """The result is (pixel / 255 - mean) / std; the images are not changed."""
    images = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).view(2, 4, 5, 3)
    kept = images.clone()
    out = views.normalise(images, transform())
    assert out.dtype == torch.float32 and out.shape == (2, 3, 4, 5) and out.is_contiguous()
    for channel, (mean, std) in enumerate(zip(SETTINGS["mean"], SETTINGS["std"], strict=True)):
        wanted = (images[..., channel].double() / 255 - mean) / std
        torch.testing.assert_close(out[:, channel].double(), wanted, rtol=1e-6, atol=1e-6)
    assert torch.equal(images, kept)
    assert math.isclose(out[0, 0, 0, 0].item(), -2.0)
