"""Compile a model for training; the model itself stays eager for everything else."""

from collections.abc import Callable
from typing import Any

import torch

from workflow_scripts.timecat.errors import UserError


def compiled(
    model: torch.nn.Module, backend: str | Callable[..., Any] = "inductor"
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a compiled form of a model as a function that shares its parameters; the model itself is not changed.

    The first call compiles it, and raises UserError if torch cannot compile on this machine.
    """
    network = torch.compile(model, backend=backend)

    def call(inputs: torch.Tensor) -> torch.Tensor:
        try:
            return network(inputs)
        except torch._dynamo.exc.ShortenTraceback as error:  # the backend failed, or Triton is missing
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"pretrain.compile: torch cannot compile on this machine ({reason}); install a C++ compiler (for a "
                "CPU) or Triton (for a GPU), or set it to false"
            ) from error

    return call
