"""Estimate the bytes of a data set's images in a .beton file, for `make plan`."""

import os

from workflow_scripts.timecat.config.data_sets import AnyDataSet, KnownImage, Part, RawStorage, Storage
from workflow_scripts.timecat.images.datasets.image_files import ImageFiles, reduced_sides

# Bytes per pixel of a photograph's JPEG at quality 90 to 95: image-net.org's archives (147.9 GB for training) hold 115
# kB for each image of about 181,000 pixels.
JPEG_BYTES = 0.64
PHOTOGRAPH = KnownImage(500, 375)  # assumed if neither the config nor files give the size
AS_MADE = RawStorage()  # storage of generated data sets, which have no block ``storage``
SAMPLED = 64  # number of files whose sizes are read to estimate the mean of all

# The file format of FFCV 1.0.2: a header and a table with a row per image, padded to full pages; then pages of
# images; then the table of their positions.
PAGE = 2**21
HEADER, TABLE_ROW, PLACE = 24 + 2 * 1041, 21, 24


def image_bytes(block: AnyDataSet, images: ImageFiles | None) -> tuple[float, int]:
    """Return the mean bytes of a split's stored images, and their mean number of pixels before they are resized.

    block: block of the data set in the config. images: listed files, or None if there are none.
    """
    if isinstance(block, Part):
        raise ValueError("a part's images are stored like those of its parent data set")
    sampled = [_of_file(images, row) for row in _sample(images)] if images is not None else []
    sizes = sampled or [block.known_image or PHOTOGRAPH]
    storage = getattr(block, "storage", AS_MADE)
    stored = [_stored(storage, size) for size in sizes]
    pixels = round(sum(size.width * size.height for size in sizes) / len(sizes))
    return sum(stored) / len(stored), pixels


def beton_bytes(rows: int, mean: float, workers: int) -> float:
    """Return the approximate size of a .beton file in bytes.

    A file consists of full pages; each worker leaves about half a page empty.
    """
    page = max(PAGE, 1 << (int(mean) - 1).bit_length())
    head = -(-(HEADER + TABLE_ROW * rows) // page) * page
    full = rows / max(1, page // mean)
    pages = -(-full // 1) + (workers - 1) / 2 * (full > workers)
    return head + pages * page + PLACE * rows


def _sample(images: ImageFiles) -> list[int]:
    """Return the row numbers of at most SAMPLED images, spread evenly over all images."""
    step = max(1, len(images) // SAMPLED)
    return list(range(0, len(images), step))[:SAMPLED]


def _of_file(images: ImageFiles, row: int) -> KnownImage:
    """Return the size and format of a file's image, or PHOTOGRAPH if the file is not a readable image."""
    from PIL import Image

    path = os.path.join(images.root, images.names[row])
    try:
        with Image.open(path) as image:
            return KnownImage(*image.size, os.path.getsize(path) if image.format == "JPEG" else None)
    except OSError:
        return PHOTOGRAPH


def _stored(storage: Storage, image: KnownImage) -> float:
    """Return the size in bytes of an image that is stored with the settings ``storage`` of the config."""
    sides = reduced_sides(image.width, image.height, storage.longest_side, storage.shortest_side)
    pixels = sides[0] * sides[1]
    if storage.write_mode == "raw":
        return 3 * pixels
    if image.jpeg is not None and sides == (image.width, image.height):
        return image.jpeg  # its file is copied unchanged
    return JPEG_BYTES * pixels
