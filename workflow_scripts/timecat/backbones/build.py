"""Backbones by architecture name: networks that turn images into features, and the classifier that trains them."""

import torch
from torch import nn
from torch.nn import functional

from workflow_scripts.timecat.backbones.backbone import Backbone
from workflow_scripts.timecat.backbones.random_projection import RandomProjection
from workflow_scripts.timecat.backbones.sequence_residual import SequenceResidual
from workflow_scripts.timecat.backbones.settings import (
    BackboneSettings,
    LibrarySettings,
    RandomProjectionSettings,
    SequenceResidualSettings,
    SmallRegnetSettings,
    SmallResidualSettings,
    SmallVitSettings,
)


class StridedPointwise(nn.Conv2d):
    """A 1 x 1 convolution of every ``stride``-th row and column, without bias: what nn.Conv2d with that stride computes.

    The pixels are picked before the convolution, for oneDNN 3.13 writes past its buffer in the backward pass of a strided
    1 x 1 convolution that lies channels last and has fewer input channels than a vector register (uxlfoundation/oneDNN
    issue 6035): on CPUs with AVX2 alone, width 4 ended the process.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__(width_in, width_out, 1, bias=False)
        self.subsampling = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [rows, width_in, height, width] -> [rows, width_out, height / stride, width / stride], rounded up."""
        # A mean of one pixel each: picked by a slice, its gradient would not lie channels last, and a training step of a small
        # network take a third longer.
        return super().forward(functional.avg_pool2d(x, 1, self.subsampling))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm and a shortcut (He et al. 2016, figure 5 left); ``stride`` in the first.

    between: channels between the convolutions (default: width_out).
    """

    def __init__(self, width_in: int, width_out: int, stride: int, between: int | None = None) -> None:
        super().__init__()
        between = between or width_out
        self.conv1 = nn.Conv2d(width_in, between, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(between)
        self.conv2 = nn.Conv2d(between, width_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(StridedPointwise(width_in, width_out, stride), nn.BatchNorm2d(width_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class SmallResidual(Backbone):
    """A residual network for images of about 32 px: a stem, then ``blocks`` blocks that each halve the side.

    Block b (from 0) has ``width * 2**b`` channels; the features are the means of the last block's maps:
    float32 [batch, width * 2**(blocks - 1)]. With a ``last_width`` the last block ends in as many channels; between its
    convolutions it has what it has without, so that the network is the one without and more maps in its last layer.
    """

    def __init__(self, width: int, blocks: int, last_width: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        usual = [width * 2**block for block in range(blocks)]
        ends = [*usual[:-1], last_width or usual[-1]]
        begins = [width, *ends]
        self.blocks = nn.Sequential(
            *(ResidualBlock(begin, end, stride=2, between=between) for begin, end, between in zip(begins, ends, usual))
        )
        self.dimension = ends[-1]
        # Channels last in memory: on a CPU its convolutions take two thirds of the time.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.blocks(self.stem(x)).mean(dim=(2, 3))


class Classifier(nn.Module):
    """A backbone with the linear classifier ``fc`` it is pretrained with: images to logits [batch, classes]."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.dimension, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.backbone(x))


def build_backbone(settings: BackboneSettings, image_size: int | None = None) -> Backbone:
    """The network that settings describe, freshly initialised. It has ``dimension``, its feature size.

    image_size: side of the images in pixels; architectures that are made for one size (ViT) need it, others take any.
    """
    match settings:
        case SmallResidualSettings():
            return SmallResidual(settings.width, settings.blocks, settings.last_width)
        case SequenceResidualSettings():
            return SequenceResidual(settings.width, settings.blocks, settings.motif, settings.kernel)
        case RandomProjectionSettings():
            return RandomProjection(settings.dimension, settings.side, image_size)
        case SmallVitSettings() | SmallRegnetSettings():
            from workflow_scripts.timecat.backbones.small import build_small_backbone

            return build_small_backbone(settings, image_size)
        case LibrarySettings():
            from workflow_scripts.timecat.backbones.library import build_library_backbone

            return build_library_backbone(settings, image_size)
