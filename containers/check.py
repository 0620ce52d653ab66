"""Test the container image: all packages import, and FFCV writes an image as JPEG and reads it back."""

import importlib
import sys
import tempfile
from pathlib import Path

PACKAGES = (
    "cv2 ffcv matplotlib numba numpy pandas PIL pyarrow pydantic safetensors schedulefree scipy sklearn torch "
    "torchvision tqdm yaml"
).split()


class Images:
    """Images with their index as the label, in the form that FFCV's writer reads."""

    def __init__(self, images):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], index


def main() -> None:
    """Import all packages, write and read images with FFCV, and print a summary."""
    for name in PACKAGES:
        importlib.import_module(name)
    import numpy as np
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.writer import DatasetWriter

    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)[..., None]
    images = np.stack([np.repeat(smooth, 3, axis=2), np.repeat(255 - smooth, 3, axis=2)])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "images.beton")
        fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=95), "label": IntField()}
        DatasetWriter(path, fields, num_workers=1).from_indexed_dataset(Images(images))
        pipelines = {"image": [SimpleRGBImageDecoder()], "label": [IntDecoder()]}
        loader = Loader(
            path, batch_size=2, num_workers=1, order=OrderOption.SEQUENTIAL, pipelines=pipelines, drop_last=False
        )
        ((decoded, labels),) = ((np.array(image), np.array(label)) for image, label in loader)
    assert labels.ravel().tolist() == [0, 1], labels
    difference = np.abs(decoded.astype(int) - images).max()
    assert difference <= 8, f"pixels of a decoded JPEG differ by {difference} grey levels"
    print(f"Python {sys.version.split()[0]}: {len(PACKAGES)} packages import, and FFCV decodes a JPEG")


if __name__ == "__main__":
    main()
