"""Test the synthetic data set ``cues``: all families agree with the class as often as ``agreement`` sets."""

import numpy as np
import pytest

from tests.support.images import read_split
from workflow_scripts.timecat.images.datasets import cues
from workflow_scripts.timecat.images.datasets.digits import evaluation_rows


def split(label="class", name="train", seed=1, agreement=0.9, rows=4000):
    settings = {"kind": "cues", "seed": seed, "rows": {name: rows}, "agreement": agreement, "label": label}
    settings["components"] = None
    return read_split(settings, name)


def test_every_family_agrees_with_the_class_equally_often():
    made = split()
    expected = 0.9 + 0.1 / cues.CLASSES
    for family in range(cues.FAMILIES):
        assert (made.groups[f"cue{family}"] == made.labels).mean() == pytest.approx(expected, abs=0.02)


def test_families_disagree_independently():
    made = split()
    wrong = np.stack([made.groups[f"cue{family}"] != made.labels for family in range(cues.FAMILIES)])
    correlation = np.corrcoef(wrong)
    assert np.abs(correlation[~np.eye(cues.FAMILIES, dtype=bool)]).max() < 0.06


def test_labels_cue0_to_cue3_have_the_same_images():
    made = [split(label=f"cue{family}") for family in range(cues.FAMILIES)]
    for family, data_set in enumerate(made):
        assert np.array_equal(data_set.images, made[0].images)
        assert np.array_equal(data_set.labels, data_set.groups[f"cue{family}"])
    assert (made[0].labels == made[1].labels).mean() == pytest.approx(1 / cues.CLASSES, abs=0.02)


def test_images_depend_only_on_split_and_seed():
    assert np.array_equal(split().images, split().images)
    assert not np.array_equal(split().images[:100], split(name="evaluation").images[:100])
    assert not np.array_equal(cues.glyphs(1), cues.glyphs(2))


def test_images_show_all_glyphs_inside_the_centre_crop():
    # Without noise each quadrant holds exactly one glyph, inside the centre crop.
    random = np.random.default_rng(0)
    shown = random.integers(0, cues.CLASSES, (50, cues.FAMILIES))
    images = cues.render(shown, cues.glyphs(1), random)
    assert images.shape == (50, 32, 32, 3) and images.dtype == np.uint8
    assert (images[..., 0] == images[..., 1]).all()
    bright = images[..., 0] > 64 + 160 * (0.6 - 4 * cues.NOISE) + 80
    assert bright[:, 2:30, 2:30].sum() == pytest.approx(bright.sum(), rel=0.02)


def test_the_evaluation_split_of_digits_is_stratified():
    labels = np.repeat(np.arange(10), 90)
    mask = evaluation_rows(labels, 1, 1 / 3)
    assert (np.bincount(labels[mask]) == 30).all()
    assert np.array_equal(mask, evaluation_rows(labels, 1, 1 / 3))
    assert not np.array_equal(mask, evaluation_rows(labels, 2, 1 / 3))
