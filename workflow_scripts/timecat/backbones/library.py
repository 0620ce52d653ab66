"""Backbones of torchvision, and of timm where it is installed: any of their classification models, without weights.

Imported only when a study asks for one: torchvision costs seconds, and the workflow's own architecture needs none of it.
Weights are never downloaded. What is made is the library's own module, with its own parameter names, and an identity in
the place of its classifier; so its features are what the classifier would get.
"""

from typing import Any

import torch
from torch import nn

from workflow_scripts.timecat.backbones import catalogue
from workflow_scripts.timecat.backbones.backbone import Backbone, as_backbone
from workflow_scripts.timecat.backbones.settings import LibrarySettings
from workflow_scripts.timecat.errors import UserError

DEFAULT_SIZE = 224  # pixels; what the libraries make their models for
CLASSES = 1000  # of the classifier that is built and removed
WITH_AUXILIARY_CLASSIFIERS = ("googlenet", "inception_v3")


def build_library_backbone(settings: LibrarySettings, image_size: int | None) -> Backbone:
    """A freshly initialised model of a library: images float32 [b, 3, s, s] to features [b, dimension].

    It has ``dimension``, found by a forward pass. image_size: side of its images in pixels (None: 224); some architectures
    are made for one size and refuse any other. UserError if the architecture is unknown, does not come in that width, or
    cannot take images of that size.
    """
    architecture, width, size = settings.architecture, settings.width, image_size or DEFAULT_SIZE
    if mistake := catalogue.mistake_in_width(architecture, width):
        raise UserError(f"backbone {architecture}: width {mistake}")
    try:
        if architecture in catalogue.TORCHVISION:
            model = _torchvision_model(architecture, width, size)
        else:
            model = _timm_model(architecture, size)
        dimension = _found_dimension(model, size)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"backbone {architecture} cannot be made for images of {size} px ({error}); choose another transform.size, of "
            "the source and of all targets, or another backbone"
        ) from error
    return as_backbone(model, dimension)


def _torchvision_model(architecture: str, width: int, size: int) -> nn.Module:
    from torchvision.models import get_model

    options: dict[str, Any] = {}
    if architecture.startswith("vit_"):
        options["image_size"] = size
    elif architecture == "maxvit_t":
        options["input_size"] = (size, size)
    elif architecture in WITH_AUXILIARY_CLASSIFIERS:
        options |= {"aux_logits": False, "init_weights": True}
    if width == 1:
        model = get_model(architecture, weights=None, num_classes=CLASSES, **options)
    else:
        with torch.device("meta"):  # what is replaced at once need not be drawn
            model = get_model(architecture, weights=None, num_classes=CLASSES, **options)
        _widen(model, width)
    _remove_classifier(model)
    if architecture in catalogue.FIXED_SIZE:
        refuse_other_sizes(model, architecture, size)
    return model


def _timm_model(architecture: str, size: int) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError:
        raise UserError(
            f"backbone {architecture} is not torchvision's, and timm is not installed here: install timm, or choose an "
            "architecture of torchvision"
        ) from None
    if not timm.is_model(architecture):
        raise UserError(f"backbone {architecture} is neither torchvision's nor timm's; choose one of theirs")
    fixed = timm.get_pretrained_cfg(architecture).fixed_input_size
    # pretrained=False: nothing is downloaded. num_classes=0: timm's way to leave the classifier out.
    model = timm.create_model(architecture, pretrained=False, num_classes=0, **({"img_size": size} if fixed else {}))
    if fixed:
        refuse_other_sizes(model, architecture, size)
    return model


def _widen(model: nn.Module, factor: int) -> None:
    """Give every convolution and batch norm of a ResNet ``factor`` times its channels, initialised as torchvision does.

    Images keep their three channels and the classifier, which goes anyway, stays as it is. resnet50 at 2 is the
    resnet50w2 of Zhang and Bottou (2023): 93.9 million parameters without a classifier, 4,096 features.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                # Any, since torch declares its own pairs as tuples of any length.
                geometry: tuple[Any, Any, Any, Any] = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
                wide = nn.Conv2d(
                    layer.in_channels if layer.in_channels == 3 else layer.in_channels * factor,
                    layer.out_channels * factor,
                    *geometry,
                    groups=layer.groups,
                    bias=layer.bias is not None,
                )
                nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
                setattr(parent, name, wide)
            elif isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(layer.num_features * factor))


def _remove_classifier(model: nn.Module) -> None:
    """Put an identity in the place of the classifier: the last layer with weights (in SqueezeNet a convolution)."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    name, layer = layers[-1]
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if outputs != CLASSES:
        raise RuntimeError(f"its last layer, {name}, is not a classifier of {CLASSES} classes")
    model.set_submodule(name, nn.Identity())


def _found_dimension(model: nn.Module, size: int) -> int:
    """The number of features, from a pass of one black image; no random number is drawn."""
    was_training = model.training
    with torch.no_grad():
        features = model.eval()(torch.zeros(1, 3, size, size))
    model.train(was_training)
    if features.ndim != 2:
        raise RuntimeError(f"its features have the shape {list(features.shape)}, not one row per image")
    return features.shape[1]


def refuse_other_sizes(model: nn.Module, architecture: str, size: int) -> None:
    """Make the model answer an image of another size with a sentence instead of its own assertion."""

    def check(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].shape[-1] != size:
            raise UserError(
                f"backbone {architecture} was made for images of {size} px and is given {inputs[0].shape[-1]} px: set "
                f"transform.size of this data set to {size}, as the source has it"
            )

    model.register_forward_pre_hook(check)
