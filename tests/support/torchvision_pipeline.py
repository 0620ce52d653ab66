"""Reference pipeline of torchvision on image files, with the crops and flips of this workflow's views.

Pillow decodes the file; the functions of RandomResizedCrop and RandomHorizontalFlip (or Resize and CenterCrop) make the
view; ToTensor and Normalize make the input. Only the random numbers come from this project.
"""

import math

from PIL import Image
from torchvision.transforms import functional

from workflow_scripts.timecat.images.views import Transform


def opened(path) -> Image.Image:
    """Return an image as torchvision's ImageFolder loads it."""
    with Image.open(path) as file:
        return file.convert("RGB")


def random_view(image: Image.Image, box, flip: bool, transform: Transform, interpolation: str) -> Image.Image:
    """Return the view that RandomResizedCrop and RandomHorizontalFlip make of a box (top, left, height, width; pixels).

    Pillow resizes in two passes, and rounds after each. If the height of a crop shrinks by more than twice as much as
    its width, Pillow 13 makes the vertical pass first. Older versions, and torchvision on tensors, always make the
    horizontal pass first.
    """
    size, how = [transform.size] * 2, functional.InterpolationMode(interpolation)
    view = functional.resized_crop(image, *(int(side) for side in box), size, how)
    return functional.hflip(view) if flip else view


def random_view_of_reduced(image: Image.Image, sides, box, flip: bool, transform: Transform, interpolation: str):
    """Return the random view of a box in an image that was reduced to ``sides`` (height, width) before it was stored.

    The edges of the crop then fall between the pixels of the file.
    """
    vertical, horizontal = image.height / sides[0], image.width / sides[1]
    top, left, height, width = (
        float(side) * scale for side, scale in zip(box, (vertical, horizontal, vertical, horizontal), strict=True)
    )
    first = math.floor(left), math.floor(top)
    last = min(math.ceil(left + width), image.width), min(math.ceil(top + height), image.height)
    inside = left - first[0], top - first[1], left + width - first[0], top + height - first[1]
    inside = [min(value, bound) for value, bound in zip(inside, 2 * (last[0] - first[0], last[1] - first[1]))]
    how = getattr(Image.Resampling, interpolation.upper())
    view = image.crop((*first, *last)).resize((transform.size, transform.size), how, box=inside)
    return functional.hflip(view) if flip else view


def random_view_horizontal_first(image: Image.Image, box, flip: bool, transform: Transform, interpolation: str):
    """Return the random view of a box as Pillow before version 13 makes it: the horizontal pass first."""
    top, left, height, width = (int(side) for side in box)
    how = getattr(Image.Resampling, interpolation.upper())
    view = image.crop((left, top, left + width, top + height))
    view = view.resize((transform.size, height), how).resize((transform.size, transform.size), how)
    return functional.hflip(view) if flip else view


def center_view(image: Image.Image, transform: Transform, interpolation: str) -> Image.Image:
    """Return the evaluation crop: Resize of the short side to size / center_ratio (256 for 224), then CenterCrop."""
    short = round(transform.size / transform.center_ratio)
    resized = functional.resize(image, short, functional.InterpolationMode(interpolation))
    return functional.center_crop(resized, [transform.size] * 2)


def as_input(view: Image.Image, transform: Transform):
    """Return the network's input, float32 [3, size, size], made by ToTensor and Normalize."""
    return functional.normalize(functional.to_tensor(view), transform.mean, transform.std)
