"""Features of a data set's images: one pass of a frozen backbone per view, written as they come."""

from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.timecat.artifacts import UserError, atomic_path
from workflow_scripts.timecat.ffcv_reader import batches
from workflow_scripts.timecat.views import Transform, normalise


@dataclass(frozen=True)
class Extraction:
    """What to extract; the keys of the config's block ``features``, with ``views`` as names (view0, ... or center)."""

    views: list[str]
    dtype: str
    batch_size: int
    augmentation_seed: int


def write_features(
    path, backbone, beton, rows, key, transform: Transform, settings: Extraction, device, workers
) -> int:
    """Write the features of ``rows`` (in that order) as ``path``, .npy [rows, dimension]; return the dimension.

    key: of the view (views.view_key), or None for the evaluation crop. UserError if a value is not finite or does not
    fit ``settings.dtype``.
    """
    with atomic_path(path) as temporary:
        # NumPy appends .npy to names, not to open files; the header is known once the shape is.
        shape = (len(rows), backbone.dimension)
        features = np.lib.format.open_memmap(temporary, "w+", np.dtype(settings.dtype), shape)
        done = 0
        with torch.inference_mode():
            for _, images, _ in batches(beton, rows, settings.batch_size, transform, key, workers):
                batch = backbone(normalise(images.to(device), transform)).float().cpu().numpy()
                _check(batch, settings.dtype, path)
                features[done : done + len(batch)] = batch
                done += len(batch)
        features.flush()
        if done != len(rows):
            raise RuntimeError(f"{path}: {done} of {len(rows)} rows were read")
    return backbone.dimension


def _check(batch: np.ndarray, dtype: str, path) -> None:
    if not np.isfinite(batch).all():
        raise UserError(
            f"{path}: a feature is not finite; the checkpoint is broken, pretrain it again (features.dtype cannot mend it)"
        )
    largest = float(np.abs(batch).max(initial=0))
    if largest > np.finfo(dtype).max:
        raise UserError(
            f"{path}: a feature of size {largest:.3g} does not fit {dtype}; set features.dtype: float32 in the config"
        )
