"""Make the synthetic data set ``cues``: images in which several equal features compete to predict the class.

Every image shows one glyph of each family, each in a random quadrant. A glyph agrees with the class with probability
``agreement``; if it does not, it is drawn uniformly. So one family suffices to classify a share of about ``agreement``
of the images, and all families together classify nearly every image. A network that has learned one family gains little
from learning another; this is the competition of section 3 of the paper (Yang, Zhang, Bottou 2025). With
``label: cue0`` the glyphs are independent of one another and the glyph of family 0 is the label: the accuracy of a
probe then tells whether the backbone sees that family.

With ``components: n`` the data set is a mixture of n components. In each component a different family always agrees
with the class, and each of the remaining families agrees with probability ``agreement``. A network that has learned all
families classifies every component; a network that has learned one family classifies the component of that family.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

import numpy as np

from workflow_scripts.timecat.images.datasets.settings import DataSetSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.settings import settings

FAMILIES = 4
CLASSES = 16
SIDE = 32  # pixels
GLYPH_SIDE = 8
QUADRANT_SIDE = SIDE // 2
MARGIN = 2  # distance of glyphs from the border of their quadrant, so that they are inside the 28 x 28 centre crop
STROKES = 3
CONTRAST = (0.6, 1.0)
NOISE = 0.15  # standard deviation, in units where black is 0 and full contrast is 1


@settings
class CuesSettings(DataSetSettings):
    """Settings of ``cues``.

    rows: split -> number of rows.
    """

    kind: Literal["cues"]
    seed: int
    rows: Mapping[str, int] = field(hash=False)
    agreement: float
    components: int | None
    label: Literal["class", "cue0", "cue1", "cue2", "cue3"]


def glyphs(seed: int) -> np.ndarray:
    """Draw the glyphs, float32 [FAMILIES, CLASSES, 8, 8] in {0, 1}.

    Each glyph has a few random strokes; no two glyphs are equal.
    """
    random = np.random.default_rng(key("cues", "glyphs", seed))
    made = np.zeros((FAMILIES * CLASSES, GLYPH_SIDE, GLYPH_SIDE), np.float32)
    for number in range(len(made)):
        while True:
            glyph = _draw_glyph(random)
            # At least six pixels differ from every other glyph, so that no two can be confused.
            if np.abs(made[:number] - glyph).sum(axis=(1, 2)).min(initial=np.inf) >= 6:
                break
        made[number] = glyph
    return made.reshape(FAMILIES, CLASSES, GLYPH_SIDE, GLYPH_SIDE)


def _draw_glyph(random: np.random.Generator) -> np.ndarray:
    glyph = np.zeros((GLYPH_SIDE, GLYPH_SIDE), np.float32)
    for _ in range(STROKES):
        start, end = random.integers(0, GLYPH_SIDE, (2, 2))
        steps = np.linspace(0, 1, 2 * GLYPH_SIDE)[:, None]
        row, column = np.rint(start + (end - start) * steps).astype(int).T
        glyph[row, column] = 1
    return glyph


def cues_split(settings: CuesSettings, split: str) -> Split:
    """Return one split of ``cues``.

    For a given seed, the images are the same for `label: cue0` to `label: cue3`; only the labels differ.
    """
    rows, target = settings.rows[split], settings.label
    random = np.random.default_rng(key("cues", "images", settings.seed, split, target == "class"))
    groups = {}
    classes = random.integers(0, CLASSES, rows)
    shown = random.integers(0, CLASSES, (rows, FAMILIES))
    if target == "class":
        agrees = random.random((rows, FAMILIES)) < settings.agreement
        if settings.components:
            component = random.integers(0, settings.components, rows)
            agrees[np.arange(rows), component] = True
            groups["component"] = component.astype(np.int64)
        shown = np.where(agrees, classes[:, None], shown)
        labels = classes
    else:
        labels = shown[:, int(target.removeprefix("cue"))]
    return Split(
        images=render(shown, glyphs(settings.seed), random),
        labels=labels.astype(np.int64),
        class_names=[f"glyph{number:02d}" if target != "class" else f"class{number:02d}" for number in range(CLASSES)],
        sources=[f"made:{split}:{row}" for row in range(rows)],
        groups=groups | {f"cue{family}": shown[:, family].astype(np.int64) for family in range(FAMILIES)},
    )


def render(shown: np.ndarray, alphabet: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Render glyphs as grey images, uint8 [rows, SIDE, SIDE, 3].

    shown: number of each row's glyph in each family, [rows, FAMILIES]. alphabet: result of glyphs.
    """
    rows = len(shown)
    canvas = np.zeros((rows, SIDE, SIDE), np.float32)
    quadrants = np.argsort(random.random((rows, FAMILIES)), axis=1)
    jitter = random.integers(MARGIN, QUADRANT_SIDE - GLYPH_SIDE - MARGIN + 1, (rows, FAMILIES, 2))
    contrast = random.uniform(*CONTRAST, (rows, FAMILIES)).astype(np.float32)
    span = np.arange(GLYPH_SIDE)
    for family in range(FAMILIES):
        top = quadrants[:, family] // 2 * QUADRANT_SIDE + jitter[:, family, 0]
        left = quadrants[:, family] % 2 * QUADRANT_SIDE + jitter[:, family, 1]
        place = (np.arange(rows)[:, None, None], (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :])
        canvas[place] = alphabet[family, shown[:, family]] * contrast[:, family, None, None]
    canvas += NOISE * random.standard_normal(canvas.shape, np.float32)
    # Black is grey level 64, so that noise is not clipped in dark pixels.
    grey = np.clip(np.rint(64 + 160 * canvas), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)
