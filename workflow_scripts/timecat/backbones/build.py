"""Build backbones from their settings, and the classifiers (backbone and linear layer) of pretraining."""

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
    """1 x 1 convolution without bias at every ``stride``-th row and column, equal to nn.Conv2d with that stride.

    The pixels are selected before the convolution, because oneDNN 3.13 writes past its buffer in the backward pass of a
    strided 1 x 1 convolution in channels-last format with fewer input channels than a vector register
    (uxlfoundation/oneDNN issue 6035): on CPUs that have only AVX2, width 4 crashed the process.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__(width_in, width_out, 1, bias=False)
        self.subsampling = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [rows, width_in, height, width] to [rows, width_out, height / stride, width / stride], rounded up."""
        # A mean over one pixel, not a slice: a slice's gradient is not in channels-last format, and a training step of
        # a small network would take a third longer.
        return super().forward(functional.avg_pool2d(x, 1, self.subsampling))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm and a shortcut (He et al. 2016, figure 5 left).

    stride: stride of the first convolution. between: number of channels between the convolutions (default: width_out).
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
    """Residual network for images of about 32 px: a stem, then ``blocks`` residual blocks that each halve the side.

    Block b (from 0) has ``width * 2**b`` channels. The features are the spatial means of the last block's channels,
    float32 [batch, width * 2**(blocks - 1)]. With ``last_width``, the last block has that number of output channels
    instead. The number of channels between its convolutions stays the same, so only the last layer is wider.
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
        # In channels-last format the convolutions take two thirds of the time on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.blocks(self.stem(x)).mean(dim=(2, 3))


class Classifier(nn.Module):
    """Backbone with the linear classifier ``fc`` of pretraining, which maps images to logits [batch, classes]."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.dimension, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.backbone(x))


def build_backbone(settings: BackboneSettings, image_size: int | None = None) -> Backbone:
    """Return a newly initialised backbone as ``settings`` describe it. Its ``dimension`` is its number of features.

    image_size: side of the images in pixels. Architectures for one fixed size (such as ViTs) need it; all remaining
    architectures accept any size.
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
