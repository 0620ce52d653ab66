"""How many bytes a data set's images take in a .beton, for `make plan`."""

import os

from workflow_scripts.timecat.config.data_sets import AnyDataSet, KnownImage, Part, RawStorage, Storage
from workflow_scripts.timecat.images.datasets.image_files import ImageFiles, reduced_sides

# A JPEG of a photograph at quality 90 to 95, bytes per pixel: image-net.org's archives (147.9 GB for training) hold 115
# kB for each image of about 181,000 pixels.
JPEG_BYTES = 0.64
PHOTOGRAPH = KnownImage(500, 375)  # where neither the config nor files tell
AS_MADE = RawStorage()  # of what is made here and has no block ``storage``
SAMPLED = 64  # files whose sizes stand for all

# The file format of FFCV 1.0.2: a header, then a row of a table for each image, filled up to a whole page; pages of
# images; the table of their places.
PAGE = 2**21
HEADER, TABLE_ROW, PLACE = 24 + 2 * 1041, 21, 24


def image_bytes(block: AnyDataSet, images: ImageFiles | None) -> tuple[float, int]:
    """Of a split of a data set (its block of the config): mean bytes of a stored image, and its pixels.

    images: its listed files, where they are there.
    """
    if isinstance(block, Part):
        raise ValueError("a part's images are stored as its whole's")
    sampled = [_of_file(images, row) for row in _sample(images)] if images is not None else []
    sizes = sampled or [block.known_image or PHOTOGRAPH]
    storage = getattr(block, "storage", AS_MADE)
    stored = [_stored(storage, size) for size in sizes]
    pixels = round(sum(size.width * size.height for size in sizes) / len(sizes))
    return sum(stored) / len(stored), pixels


def beton_bytes(rows: int, mean: float, workers: int) -> float:
    """Of a whole .beton: pages are whole, and each of the workers that write leaves one half empty, or so."""
    page = max(PAGE, 1 << (int(mean) - 1).bit_length())
    head = -(-(HEADER + TABLE_ROW * rows) // page) * page
    full = rows / max(1, page // mean)
    pages = -(-full // 1) + (workers - 1) / 2 * (full > workers)
    return head + pages * page + PLACE * rows


def _sample(images: ImageFiles) -> list[int]:
    step = max(1, len(images) // SAMPLED)
    return list(range(0, len(images), step))[:SAMPLED]


def _of_file(images: ImageFiles, row: int) -> KnownImage:
    """A file's image. A file that is no image counts as any photograph."""
    from PIL import Image

    path = os.path.join(images.root, images.names[row])
    try:
        with Image.open(path) as image:
            return KnownImage(*image.size, os.path.getsize(path) if image.format == "JPEG" else None)
    except OSError:
        return PHOTOGRAPH


def _stored(storage: Storage, image: KnownImage) -> float:
    """Bytes of an image as it is stored (config's block ``storage``)."""
    sides = reduced_sides(image.width, image.height, storage.longest_side, storage.shortest_side)
    pixels = sides[0] * sides[1]
    if storage.write_mode == "raw":
        return 3 * pixels
    if image.jpeg is not None and sides == (image.width, image.height):
        return image.jpeg  # stored as it is
    return JPEG_BYTES * pixels
