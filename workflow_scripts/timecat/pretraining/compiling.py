"""Compile a model for training. Averaging, evaluation and writing use the model itself, which stays eager."""

from collections.abc import Callable
from typing import Any

import torch

from workflow_scripts.timecat.errors import UserError


def compiled(
    model: torch.nn.Module, backend: str | Callable[..., Any] = "inductor"
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a compiled form of a model, as a function that shares its parameters. The model itself is not changed.

    The first call of the function compiles the model. It raises UserError if torch cannot compile on this machine.
    """
    network = torch.compile(model, backend=backend)

    def call(inputs: torch.Tensor) -> torch.Tensor:
        try:
            return network(inputs)
        except torch._dynamo.exc.ShortenTraceback as error:  # the backend failed, or Triton is missing
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"pretrain.compile: torch cannot compile on this machine ({reason}); install a C++ compiler (for a "
                "CPU) or Triton (for a GPU), or set pretrain.compile to false"
            ) from error

    return call
