"""A compiled form of a model for training; the model itself stays eager, for everything else."""

from collections.abc import Callable
from typing import Any

import torch

from workflow_scripts.timecat.errors import UserError


def compiled(
    model: torch.nn.Module, backend: str | Callable[..., Any] = "inductor"
) -> Callable[[torch.Tensor], torch.Tensor]:
    """``torch.compile`` of a model, as a function that shares its parameters: the model's state and names stay.

    Compilation happens at the first call; a UserError says if it cannot.
    """
    network = torch.compile(model, backend=backend)

    def call(inputs: torch.Tensor) -> torch.Tensor:
        try:
            return network(inputs)
        except torch._dynamo.exc.ShortenTraceback as error:  # a backend that failed, or that lacks Triton
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"pretrain.compile: torch cannot compile here ({reason}); install a C++ compiler (for a CPU) or Triton (for "
                "a GPU), or set it to false"
            ) from error

    return call
