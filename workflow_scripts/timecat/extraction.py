"""Features of a data set's images: one pass of a frozen backbone per view, written as they come."""

from contextlib import closing
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


@dataclass(frozen=True)
class Extractor:
    """A frozen backbone (in evaluation mode, on ``device``) and how images reach it; ``workers`` decode them."""

    backbone: torch.nn.Module
    transform: Transform
    settings: Extraction
    device: str
    workers: int

    def write(self, path, beton, rows, key: int | None, advance=lambda images: None) -> None:
        """Write the features of ``rows`` of a .beton, in that order, as ``path``: .npy [rows, dimension].

        key: of the view (views.view_key), or None for the evaluation crop. advance: called with the number of images
        after each batch. UserError if a value is not finite or does not fit the dtype, or if the disk is full.
        """
        dtype, done = np.dtype(self.settings.dtype), 0
        header = {"descr": dtype.str, "fortran_order": False, "shape": (len(rows), self.backbone.dimension)}
        stream = batches(beton, rows, self.settings.batch_size, self.transform, key, self.workers)
        try:
            with atomic_path(path) as temporary, open(temporary, "wb") as file, closing(stream):
                np.lib.format.write_array_header_1_0(file, header)
                for _, images, _ in stream:
                    features = self.features(images)
                    check_range(features, dtype, path)
                    file.write(features.astype(dtype).tobytes())
                    done += len(features)
                    advance(len(features))
                if done != len(rows):
                    raise RuntimeError(f"{path}: {done} of {len(rows)} rows were read")
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}): make room or use another disk") from error

    def features(self, images: torch.Tensor) -> np.ndarray:
        """float32 [b, dimension] of images uint8 [b, size, size, 3]."""
        with torch.inference_mode():
            return self.backbone(normalise(images.to(self.device), self.transform)).float().cpu().numpy()


def check_range(features: np.ndarray, dtype: np.dtype, path) -> None:
    """UserError if a value is not finite or does not fit ``dtype``."""
    if not np.isfinite(features).all():
        raise UserError(
            f"{path}: a feature is not finite, so the checkpoint is broken: pretrain it again (another features.dtype "
            "cannot mend it)"
        )
    largest = float(np.abs(features).max(initial=0))
    if largest > float(np.finfo(dtype).max):
        raise UserError(
            f"{path}: a feature of size {largest:.3g} does not fit {dtype}; set features.dtype: float32 in the config"
        )
