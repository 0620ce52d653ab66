"""Projection that reduces features before a probe: columns are standardised, then multiplied by a matrix."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from workflow_scripts.timecat.probing.heads import BN_EPS


@dataclass(frozen=True)
class Projection:
    """Projection of features to fewer dimensions: μ and σ² of their columns [columns], and M [D, columns]; float32."""

    mean: torch.Tensor
    variance: torch.Tensor
    matrix: torch.Tensor

    @property
    def dimension(self) -> int:
        """Number of dimensions after the projection, D."""
        return len(self.matrix)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return features, float32 [rows, columns], reduced to [rows, D]."""
        return F.linear(F.batch_norm(x, self.mean, self.variance, training=False, eps=BN_EPS), self.matrix)

    def on(self, device: torch.device | str) -> "Projection":
        """Return the projection on another device."""
        return Projection(**{name: value.to(device) for name, value in vars(self).items()})
