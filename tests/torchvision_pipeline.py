"""torchvision's own pipeline on image files, with the crops and flips of this workflow: what its views are compared with.

Pillow decodes, RandomResizedCrop's and RandomHorizontalFlip's functions (or Resize and CenterCrop) make the view, ToTensor
and Normalize the input. Only the random numbers are ours.
"""

import math

from PIL import Image
from torchvision.transforms import functional

from workflow_scripts.timecat.views import Transform


def opened(path) -> Image.Image:
    """The image as torchvision's ImageFolder loads it."""
    with Image.open(path) as file:
        return file.convert("RGB")


def random_view(
    image: Image.Image, box, flip: bool, transform: Transform, interpolation: str, scale=1.0
) -> Image.Image:
    """RandomResizedCrop and RandomHorizontalFlip of a box (top, left, height, width, in pixels).

    Pillow resizes in two passes, and rounds after each. Pillow 13 makes the vertical one first where a crop shrinks in
    height by more than twice what it shrinks in width; Pillow before, and torchvision on tensors, never do. scale: sides of ``image`` over those of the stored image that the box is of, where that was reduced.
    """
    size, how = [transform.size] * 2, functional.InterpolationMode(interpolation)
    if scale == 1:
        view = functional.resized_crop(image, *(int(side) for side in box), size, how)
    else:
        top, left, height, width = (scale * float(side) for side in box)
        first, last = (math.floor(left), math.floor(top)), (math.ceil(left + width), math.ceil(top + height))
        last = [min(side, bound) for side, bound in zip(last, image.size)]
        crop = image.crop((*first, *last))
        inside = (left - first[0], top - first[1], left - first[0] + width, top - first[1] + height)
        inside = [min(side, bound) for side, bound in zip(inside, (*crop.size, *crop.size))]
        view = crop.resize(size, getattr(Image.Resampling, interpolation.upper()), box=inside)
    return functional.hflip(view) if flip else view


def random_view_horizontal_first(image: Image.Image, box, flip: bool, transform: Transform, interpolation: str):
    """The same as Pillow before version 13 makes it."""
    top, left, height, width = (int(side) for side in box)
    how = getattr(Image.Resampling, interpolation.upper())
    view = image.crop((left, top, left + width, top + height))
    view = view.resize((transform.size, height), how).resize((transform.size, transform.size), how)
    return functional.hflip(view) if flip else view


def center_view(image: Image.Image, transform: Transform, interpolation: str) -> Image.Image:
    """Resize of the short side to size / center_ratio (256 for 224) and CenterCrop."""
    short = round(transform.size / transform.center_ratio)
    resized = functional.resize(image, short, functional.InterpolationMode(interpolation))
    return functional.center_crop(resized, [transform.size] * 2)


def as_input(view: Image.Image, transform: Transform):
    """ToTensor and Normalize: float32 tensor [3, size, size]."""
    return functional.normalize(functional.to_tensor(view), transform.mean, transform.std)
