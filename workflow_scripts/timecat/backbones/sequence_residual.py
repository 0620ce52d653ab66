"""The backbone of sequences that are stored as images (datasets/sequence_images.py): a residual network in one dimension."""

import torch
from torch import nn

from workflow_scripts.timecat.backbones.backbone import Backbone


def one_hot(images: torch.Tensor) -> torch.Tensor:
    """float [rows, 4, bases] in {0, 1}, of A, C, G, T, from pixels in 0..1 [rows, 3, side, side]; all zero where there is
    no base, or an unknown one. Exact: it only subtracts and multiplies zeros and ones."""
    red, green, blue = images.flatten(2).unbind(1)
    white = red * green * blue
    return torch.stack([red - white, green - white, blue - white, white], dim=1)


def within(sequences: torch.Tensor) -> torch.Tensor:
    """Of one_hot's [rows, 4, bases], in the same type: 1 up to a sequence's last known base, 0 behind it [rows, 1, bases]."""
    places = torch.arange(1, sequences.shape[-1] + 1, device=sequences.device)
    ends = (sequences.amax(dim=1) > 0).mul(places).amax(dim=1, keepdim=True)
    return (places <= ends).unsqueeze(1).to(sequences.dtype)


class SequenceBlock(nn.Module):
    """Two convolutions with batch norm and a shortcut, as in build.ResidualBlock; the first has stride 2.

    What lies behind a sequence's end is zero again at the end, so that its features do not depend on the square's size.
    """

    def __init__(self, width_in: int, width_out: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width_in, width_out, kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm1d(width_out)
        self.conv2 = nn.Conv1d(width_out, width_out, kernel, 1, kernel // 2, bias=False)
        self.bn2 = nn.BatchNorm1d(width_out)
        self.shortcut = nn.Sequential(nn.Conv1d(width_in, width_out, 1, 2, bias=False), nn.BatchNorm1d(width_out))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x [rows, width_in, places], mask [rows, 1, places] -> the same of half as many places."""
        mask = mask[..., ::2]
        y = torch.relu(self.bn1(self.conv1(x))) * mask
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x)) * mask, mask


class SequenceResidual(Backbone):
    """A stem of ``motif`` bases, then ``blocks`` blocks that each halve the length and double the channels.

    The features are the largest value of each of the last block's channels within the sequence:
    float32 [batch, width * 2**blocks].
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
        return x.amax(dim=2)  # after a ReLU no masked place can be the largest, unless all are zero
