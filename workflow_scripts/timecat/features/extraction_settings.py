"""Settings of feature extraction. This module imports neither NumPy nor torch, so that the config can import it."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Dtype = Literal["float16", "float32"]


@settings
class Extraction:
    """Settings of the config's block ``features``. views: names of views (view0, view1, ... or center)."""

    views: tuple[str, ...]
    dtype: Dtype
    batch_size: int
    augmentation_seed: int
