"""What reduces features before a probe, as it is applied and saved: columns standardised, then projected."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from workflow_scripts.timecat.probing.heads import BN_EPS


@dataclass(frozen=True)
class Projection:
    """What reduces features: μ and σ² of their columns [columns], and M [D, columns]; float32."""

    mean: torch.Tensor
    variance: torch.Tensor
    matrix: torch.Tensor

    @property
    def dimension(self) -> int:
        """The dimensions that are left, D."""
        return len(self.matrix)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Features float32 [rows, columns] reduced to [rows, D]."""
        return F.linear(F.batch_norm(x, self.mean, self.variance, training=False, eps=BN_EPS), self.matrix)

    def on(self, device: torch.device | str) -> "Projection":
        """The projection on a device."""
        return Projection(**{name: value.to(device) for name, value in vars(self).items()})
