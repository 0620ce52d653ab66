"""Compute batch-norm statistics for inference from training images, with fixed weights."""

from collections.abc import Iterable

import torch
from torch import nn

from workflow_scripts.timecat.backbones.build import Classifier
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import normalise


def recompute_batch_norm(model: Classifier, batches: Iterable[torch.Tensor], transform: Transform) -> None:
    """Set the running statistics of batch norm to the plain mean over ``batches``, in place.

    The statistics of training belong to the weights y, not to their average x. All layers except batch norm are in
    evaluation mode, so that the statistics fit inference (float32, no dropout). With ghost batches, the mean is over
    the groups of images.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's cumulative mean
        layer.train()
    with torch.no_grad():
        for images in batches:
            model(normalise(images.to(model.fc.weight.device), transform))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
