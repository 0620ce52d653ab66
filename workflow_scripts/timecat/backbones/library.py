"""Build any classification model of torchvision, or of timm if it is installed, as a backbone with initial weights.

Import this module only for a study that uses a library's model: torchvision takes seconds to import, and most of the
workflow's architectures do not need it. Pretrained weights are never downloaded. A backbone is the library's module
with the library's parameter names and an identity instead of the classifier, so its features are the classifier's
input.
"""

from typing import Any

import torch
from torch import nn

from workflow_scripts.timecat.backbones import catalogue
from workflow_scripts.timecat.backbones.backbone import Backbone, as_backbone
from workflow_scripts.timecat.backbones.settings import LibrarySettings
from workflow_scripts.timecat.errors import UserError

DEFAULT_SIZE = 224  # pixels; the libraries' default image size
CLASSES = 1000  # number of classes of the classifier that is built and then removed
WITH_AUXILIARY_CLASSIFIERS = ("googlenet", "inception_v3")


def build_library_backbone(settings: LibrarySettings, image_size: int | None) -> Backbone:
    """Return a newly initialised model of a library, which maps images float32 [b, 3, s, s] to features [b, dimension].

    A forward pass finds the attribute ``dimension``. image_size: side s of the images in pixels (None: 224); some
    architectures accept one size only. Raise UserError if the architecture is unknown, cannot have the width of
    ``settings``, or cannot read images of this size.
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
            f"backbone {architecture} cannot be built for images of {size} px ({error}); choose another transform.size "
            "for the source and all targets, or another backbone"
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
        with torch.device("meta"):  # do not draw weights that _widen replaces immediately
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
            f"backbone {architecture} is not an architecture of torchvision, and timm is not installed: install timm, "
            "or choose an architecture of torchvision"
        ) from None
    if not timm.is_model(architecture):
        raise UserError(f"backbone {architecture} is an architecture of neither torchvision nor timm; correct its name")
    fixed = timm.get_pretrained_cfg(architecture).fixed_input_size
    # pretrained=False: no download. num_classes=0: no classifier.
    model = timm.create_model(architecture, pretrained=False, num_classes=0, **({"img_size": size} if fixed else {}))
    if fixed:
        refuse_other_sizes(model, architecture, size)
    return model


def _widen(model: nn.Module, factor: int) -> None:
    """Multiply the channels of every convolution and batch norm of a ResNet by ``factor``.

    The new layers are initialised as torchvision does. Images keep their three channels. The classifier is not changed,
    because it is removed afterwards. A resnet50 with factor 2 is the resnet50w2 of Zhang and Bottou (2023), which has
    93.9 million parameters without a classifier and 4,096 features.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                # Any, because torch declares these pairs as tuples of any length.
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
    """Replace the classifier, which is the last layer with weights (in SqueezeNet a convolution), by an identity."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    name, layer = layers[-1]
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if outputs != CLASSES:
        raise RuntimeError(f"its last layer, {name}, is not a classifier of {CLASSES} classes")
    model.set_submodule(name, nn.Identity())


def _found_dimension(model: nn.Module, size: int) -> int:
    """Return the number of features of a model, found by a forward pass of one black image.

    The pass does not draw random numbers.
    """
    was_training = model.training
    with torch.no_grad():
        features = model.eval()(torch.zeros(1, 3, size, size))
    model.train(was_training)
    if features.ndim != 2:
        raise RuntimeError(f"its features have the shape {list(features.shape)}, not one row per image")
    return features.shape[1]


def refuse_other_sizes(model: nn.Module, architecture: str, size: int) -> None:
    """Make a model raise UserError, instead of the library's AssertionError, for images whose side is not ``size``."""

    def check(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].shape[-1] != size:
            raise UserError(
                f"backbone {architecture} was built for images of {size} px and got one of {inputs[0].shape[-1]} px: "
                f"set transform.size of this data set to {size}, the size of the source"
            )

    model.register_forward_pre_hook(check)
