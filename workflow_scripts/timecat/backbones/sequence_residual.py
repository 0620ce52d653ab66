"""Define a one-dimensional residual network for sequences that are stored as images (datasets/sequence_images.py)."""

import torch
from torch import nn

from workflow_scripts.timecat.backbones.backbone import Backbone


def one_hot(images: torch.Tensor) -> torch.Tensor:
    """Return the one-hot code of sequences, float [rows, 4, bases] for A, C, G, T, from pixels [rows, 3, side, side].

    Pixels are in 0..1. A position without a base or with an unknown base is all zero. The result is exact, because it
    is computed by subtracting and multiplying zeros and ones.
    """
    red, green, blue = images.flatten(2).unbind(1)
    white = red * green * blue
    return torch.stack([red - white, green - white, blue - white, white], dim=1)


def within(sequences: torch.Tensor) -> torch.Tensor:
    """Return a mask [rows, 1, bases] that is 1 up to the last known base of each sequence and 0 after it.

    sequences: one-hot code [rows, 4, bases] (one_hot). The mask has the same dtype.
    """
    places = torch.arange(1, sequences.shape[-1] + 1, device=sequences.device)
    ends = (sequences.amax(dim=1) > 0).mul(places).amax(dim=1, keepdim=True)
    return (places <= ends).unsqueeze(1).to(sequences.dtype)


class SequenceBlock(nn.Module):
    """Two convolutions with batch norm and a shortcut, as in build.ResidualBlock; the first has stride 2.

    Positions after the end of a sequence are set to zero after each convolution, so that the features do not depend on
    the size of the image in which the sequence is stored.
    """

    def __init__(self, width_in: int, width_out: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width_in, width_out, kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm1d(width_out)
        self.conv2 = nn.Conv1d(width_out, width_out, kernel, 1, kernel // 2, bias=False)
        self.bn2 = nn.BatchNorm1d(width_out)
        self.shortcut = nn.Sequential(nn.Conv1d(width_in, width_out, 1, 2, bias=False), nn.BatchNorm1d(width_out))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map x [rows, width_in, n] and its mask [rows, 1, n] to [rows, width_out, n / 2] and [rows, 1, n / 2]."""
        mask = mask[..., ::2]
        y = torch.relu(self.bn1(self.conv1(x))) * mask
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x)) * mask, mask


class SequenceResidual(Backbone):
    """Residual network for sequences: a stem with kernel ``motif``, then ``blocks`` blocks that each halve the length.

    Each block doubles the channels. The features are, for each channel of the last block, the maximum over the
    sequence: float32 [batch, width * 2**blocks].
    """

    def __init__(self, width: int, blocks: int, motif: int, kernel: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(4, width, motif, 1, motif // 2, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        )
        widths = [width * 2**block for block in range(blocks + 1)]
        self.blocks = nn.ModuleList(SequenceBlock(widths[block], widths[block + 1], kernel) for block in range(blocks))
        self.dimension = widths[-1]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = one_hot(images)
        mask = within(x)
        x = self.stem(x) * mask
        for block in self.blocks:
            x, mask = block(x, mask)
        # All values are at least 0 after a ReLU, so the zeros of the mask do not change the maximum.
        return x.amax(dim=2)
