"""Make the synthetic data set ``shortcut``: a hard cue gives the label, an easy cue nearly always agrees with it.

The hard cue, or core cue, is the glyph of the first family, one of six; the label tells whether it is one of the first
three or of the last three. Glyphs of three further families are distractors. The easy cue is the background, dark or
light (group column ``place``), which agrees with the label in a share ``agreement`` of the training rows. In evaluation
rows the background is independent of the label, so that all four groups are equally likely. With two core glyphs
instead of six, every network would learn the core cue immediately; with sixteen, no network would learn it. The data
set is the counterpart of Waterbirds (section 4.2 of the paper).
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

import numpy as np

from workflow_scripts.timecat.images.datasets.cues import CLASSES, FAMILIES, glyphs, render
from workflow_scripts.timecat.images.datasets.settings import DataSetSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.settings import settings

CORE_GLYPHS = 6
LIGHTER = 24  # grey levels
PLACES = ("dark", "light")


@settings
class ShortcutSettings(DataSetSettings):
    """Settings of ``shortcut``.

    rows: split -> number of rows. agreement: share of training rows whose background agrees with the label.
    """

    kind: Literal["shortcut"]
    seed: int
    rows: Mapping[str, int] = field(hash=False)
    agreement: float


def shortcut_split(settings: ShortcutSettings, split: str) -> Split:
    """Return one split of ``shortcut``."""
    rows = settings.rows[split]
    random = np.random.default_rng(key("shortcut", "images", settings.seed, split))
    shown = random.integers(0, CLASSES, (rows, FAMILIES))
    shown[:, 0] = random.integers(0, CORE_GLYPHS, rows)
    labels = (shown[:, 0] >= CORE_GLYPHS // 2).astype(np.int64)
    agrees = random.random(rows) < (settings.agreement if split == "train" else 0.5)
    place = np.where(agrees, labels, 1 - labels)
    images = render(shown, glyphs(settings.seed), random)
    lighter = np.minimum(images, 255 - LIGHTER) + LIGHTER
    return Split(
        images=np.where(place[:, None, None, None] == 1, lighter, images).astype(np.uint8),
        labels=labels,
        class_names=["first", "second"],
        sources=[f"made:{split}:{row}" for row in range(rows)],
        groups={"place": np.array(PLACES)[place]},
    )
