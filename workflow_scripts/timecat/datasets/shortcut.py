"""The made data set ``shortcut``: an easy cue agrees with the label nearly always, and the core cue is harder.

The label says which half of the glyphs of family 0 the image's glyph is of: the core cue, sixteen small shapes to tell
apart. The background is dark or light, the group column ``place``, and agrees with the label in ``agreement`` of the
training rows. In the rows for evaluation it says nothing, so that all four groups are equally likely. Glyphs of the other
families distract. The counterpart of Waterbirds (section 4.2 of the paper).
"""

import numpy as np

from workflow_scripts.timecat.datasets import Split
from workflow_scripts.timecat.datasets.cues import CLASSES, FAMILIES, glyphs, render
from workflow_scripts.timecat.randomness import key

LIGHTER = 40  # grey levels
PLACES = ("dark", "light")


def shortcut_split(settings: dict, split: str) -> Split:
    """One split. settings: seed, rows (split -> number), agreement (of training rows)."""
    rows = settings["rows"][split]
    random = np.random.default_rng(key("shortcut", "images", settings["seed"], split))
    shown = random.integers(0, CLASSES, (rows, FAMILIES))
    labels = (shown[:, 0] >= CLASSES // 2).astype(np.int64)
    agrees = random.random(rows) < (settings["agreement"] if split == "train" else 0.5)
    place = np.where(agrees, labels, 1 - labels)
    images = render(shown, glyphs(settings["seed"]), random)
    lighter = np.minimum(images, 255 - LIGHTER) + LIGHTER
    return Split(
        images=np.where(place[:, None, None, None] == 1, lighter, images).astype(np.uint8),
        labels=labels,
        class_names=["first", "second"],
        sources=[f"made:{split}:{row}" for row in range(rows)],
        groups={"place": np.array(PLACES)[place]},
    )
