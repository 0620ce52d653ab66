"""List the architectures of torchvision and their constraints, so that the config can check them without torch.

Importing torchvision to check a name would add seconds to every parse of the Snakefile, so its architectures are listed
here. A test compares this list with torchvision's. timm's names are read from the source of its modules, if timm is
installed.
"""

import difflib
import importlib.util
import re
from pathlib import Path

SMALL_RESIDUAL = "small_residual"  # the workflow's own architecture
SMALL_VIT, SMALL_REGNET = "small_vit", "small_regnet"  # torchvision's classes, with sizes that the config sets
SEQUENCE_RESIDUAL = "sequence_residual"  # the workflow's own architecture for DNA sequences
RANDOM_PROJECTION = "random_projection"  # no network: a random projection of the pixels, as a floor
OWN = (SMALL_RESIDUAL, SMALL_VIT, SMALL_REGNET, SEQUENCE_RESIDUAL, RANDOM_PROJECTION)
RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)
# Architectures whose position embeddings or attention grids fit only one image size.
TORCHVISION_FIXED = ("maxvit_t", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32")
FIXED_SIZE = (SMALL_VIT, *TORCHVISION_FIXED)
TORCHVISION = (
    *RESNETS,
    *TORCHVISION_FIXED,
    *("alexnet", "googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1"),
    *("convnext_base", "convnext_large", "convnext_small", "convnext_tiny"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *(f"efficientnet_b{number}" for number in range(8)),
    *("efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s"),
    *("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *("regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf"),
    *("regnet_x_8gf", "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf"),
    *("regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf"),
    *("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    *("swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t"),
    *("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
)


def mistake_in_name(name: str) -> str | None:
    """Return an error message with a remedy if no architecture has this name, else None."""
    if name in TORCHVISION:
        return None
    timm = _timm_names()
    if timm is not None and name in timm:
        return None
    near = difflib.get_close_matches(name, sorted({*OWN, *TORCHVISION, *(timm or ())}), n=3)
    where = "torchvision, and timm, which has more, is not installed" if timm is None else "torchvision or timm"
    remedy = f"similar names: {', '.join(near)}" if near else "see docs/reference/configuration.md for examples"
    return f"{name!r} is not an architecture of {where}; {remedy}"


def mistake_in_width(name: str, width: int) -> str | None:
    """Return an error message with a remedy if an architecture cannot have this ``width``, else None."""
    if width == 1 or name in RESNETS:
        return None
    return f"{width} is for ResNets; {name} has a fixed width, so remove the key"


def mistake_in_zero_gamma(name: str) -> str | None:
    """Return an error message with a remedy if pretrain.zero_gamma does not apply to an architecture, else None.

    Architectures of timm are not checked here; the stage checks them when it has built the network.
    """
    if name in (SMALL_VIT, SMALL_REGNET, *TORCHVISION) and name not in RESNETS:
        return f"it is for ResNets, and {name} is not one; remove the key"
    return None


def mistake_in_sizes(name: str, sizes: dict[str, int]) -> str | None:
    """Return an error message with a remedy if an architecture cannot read all of these image sizes, else None.

    sizes: name of a data set -> side of its images in pixels, beginning with the source.
    """
    if name not in FIXED_SIZE:
        return None
    source, size = next(iter(sizes.items()))
    for data_set, other in sizes.items():
        if other != size:
            return (
                f"{data_set}.transform.size: it is {other}, but {name} accepts one image size only, and images of "
                f"{source} have {size} px; set it to {size}"
            )
    return None


def mistake_in_data(name: str, are_sequences: dict[str, bool]) -> str | None:
    """Return an error message with a remedy if an architecture cannot read one of the data sets, else None.

    are_sequences: name of a data set -> whether it holds sequences (else images).
    """
    images = [data_set for data_set, sequences in are_sequences.items() if not sequences]
    if name != SEQUENCE_RESIDUAL or not images:
        return None
    return f"{name} reads sequences, and {images[0]!r} has images; choose another architecture or data set"


def _timm_names() -> set[str] | None:
    """Return the names of timm's models, read from its source, or None if timm is not installed."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        return None
    text = "\n".join(path.read_text() for path in (Path(found.origin).parent / "models").glob("*.py"))
    return set(re.findall(r"^@register_model\ndef (\w+)\(", text, re.MULTILINE))
