"""Read the scanned digits that are included in scikit-learn (1,797 images of 8 x 8), enlarged to 32 x 32.

Source: test set of E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository (1998).
"""

from typing import Literal

import numpy as np

from workflow_scripts.timecat.images.datasets.settings import DataSetSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.sampling import rows_of_each_class
from workflow_scripts.timecat.settings import settings

SIDE = 32  # pixels


@settings
class DigitsSettings(DataSetSettings):
    """Settings of ``digits``.

    evaluation_fraction: share of each class's rows that is in the evaluation split. seed: seed of this choice.
    """

    kind: Literal["digits"]
    seed: int
    evaluation_fraction: float


def digits_split(settings: DigitsSettings, split: str) -> Split:
    """Return one split of ``digits``."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    evaluation = evaluation_rows(scans.target, settings.seed, settings.evaluation_fraction)
    rows = np.flatnonzero(evaluation if split == "evaluation" else ~evaluation)
    return Split(
        images=enlarge(scans.images[rows]),
        labels=scans.target[rows].astype(np.int64),
        class_names=[str(name) for name in scans.target_names],
        sources=[f"sklearn.datasets.load_digits:{row}" for row in rows],
    )


def evaluation_rows(labels: np.ndarray, seed: int, fraction: float) -> np.ndarray:
    """Return which rows are in the evaluation split, bool [rows]: a random ``fraction`` of each class."""
    chosen = rows_of_each_class(
        key("digits", "evaluation", seed), labels, lambda counts: np.rint(counts * fraction).astype(np.int64)
    )
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return mask


def enlarge(scans: np.ndarray) -> np.ndarray:
    """Enlarge scans [rows, 8, 8] with values 0 to 16 to grey images uint8 [rows, 32, 32, 3], bilinearly."""
    from PIL import Image

    images = np.empty((len(scans), SIDE, SIDE), np.uint8)
    for row, scan in enumerate(scans):
        image = Image.fromarray(np.rint(scan * (255 / 16)).astype(np.uint8))
        images[row] = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.repeat(images[..., None], 3, axis=3)
