"""What is extracted of a data set, as the stage is told it. Without NumPy and torch, for the config."""

from typing import Literal

from workflow_scripts.timecat.settings import settings

Dtype = Literal["float16", "float32"]


@settings
class Extraction:
    """What to extract: the config's block ``features``, with ``views`` as names (view0, ... or center)."""

    views: tuple[str, ...]
    dtype: Dtype
    batch_size: int
    augmentation_seed: int
