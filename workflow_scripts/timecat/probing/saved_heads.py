"""Write and read the selected heads of a probe, to evaluate them on other images and to analyse their weights.

There is one safetensors file per (data set, arm). Each head (replicate, selection) has the float32 tensors
`{replicate}.{selection}.weight` [C, D] and `.bias` [C], and with batch norm also `.gamma`, `.beta`, `.running_mean` and
`.running_var` [D]. If features are reduced before the heads (see reduction), each replicate also has
`{replicate}.reduction.mean`, `.variance` and `.matrix`. The description (metadata) holds the seeds and dimensions of
each replicate's members, in the order of the features, and the weight decay, epoch and evaluation top-1 of each head:

    {"classes": C, "replicates": [{"members": [seed, ...], "dimensions": [D_m, ...],
                                   "heads": {selection: {"weight_decay", "epoch", "top1"}}}, ...]}
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import torch

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.artifacts.tensor_files import write_tensors
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.heads import BN_EPS, StackedHeads
from workflow_scripts.timecat.probing.projection import Projection
from workflow_scripts.timecat.probing.selection import Selected, paper_order

if TYPE_CHECKING:
    from workflow_scripts.timecat.probing.scoring import Scores


REDUCTION = "reduction"  # replaces the selection in the names of a projection's tensors


@dataclass(frozen=True)
class SavedHead:
    """One head, float32: W [C, D], b [C], and the γ, β, μ, σ² [D] of its batch norm (None without it)."""

    weight: torch.Tensor
    bias: torch.Tensor
    gamma: torch.Tensor | None = None
    beta: torch.Tensor | None = None
    running_mean: torch.Tensor | None = None
    running_var: torch.Tensor | None = None

    @property
    def batch_norm(self) -> bool:
        """Whether the head has batch norm."""
        return self.gamma is not None

    @property
    def scale(self) -> torch.Tensor:
        """Factor of each feature before W, γ / sqrt(σ² + ε): [D]; ones without batch norm."""
        if self.gamma is None or self.running_var is None:
            return torch.ones(self.weight.shape[1])
        return self.gamma / torch.sqrt(self.running_var + BN_EPS)

    def stacked(self, device: torch.device | str = "cpu") -> StackedHeads:
        """Return the head as StackedHeads. On the CPU, with one thread, it gives the probe's logits bit for bit.

        The rows must be scored in the same pieces (memory.evaluation_chunk). On a GPU the last bits may differ, because
        a probe there multiplies all of its heads in one product.
        """
        # The head is not trained further, so weight decay and momentum have no effect.
        heads = StackedHeads(self.weight, [0.0], momentum=0.0, batch_norm=self.batch_norm, device=device)
        for name, value in self.tensors().items():
            if name != "weight":
                getattr(heads, "b" if name == "bias" else name).copy_(value)
        return heads

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits, float32 [rows, C], of features [rows, D], on the device of the features."""
        return self.stacked(features.device).logits(features.float())[:, 0]

    def on(self, device: torch.device | str) -> "SavedHead":
        """Return the head on another device."""
        return SavedHead(**{name: value.to(device) for name, value in self.tensors().items()})

    def of_classes(self, classes: npt.ArrayLike) -> "SavedHead":
        """Return the head of only these classes (int64, in this order), which restricts its predictions to them."""
        rows = torch.as_tensor(classes)
        return SavedHead(**self.tensors() | {"weight": self.weight[rows], "bias": self.bias[rows]})

    def before(self, projection: Projection | None) -> "SavedHead":
        """Return an equivalent head for features that are not reduced: its logits are the same up to rounding.

        The projection becomes part of W, and its standardisation of columns becomes the batch norm of the head.
        """
        if projection is None:
            return self
        W, bias = self.weight * self.scale, self.bias
        if self.running_mean is not None and self.beta is not None:
            bias = bias + self.weight @ self.beta - W @ self.running_mean
        mean, variance, ones = projection.mean, projection.variance, torch.ones_like(projection.mean)
        return SavedHead(W @ projection.matrix, bias, ones, torch.zeros_like(ones), mean, variance)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the head by name, without those that are None."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


def saved_head(heads: StackedHeads, index: int) -> SavedHead:
    """Return a copy of one of the heads in its current state; further training does not change the copy."""
    own = {"weight": heads.W[index], "bias": heads.b[index]}
    if heads.batch_norm:
        own |= {"gamma": heads.gamma[index], "beta": heads.beta[index]}
        own |= {"running_mean": heads.running_mean, "running_var": heads.running_var}
    return SavedHead(**{name: value.detach().float().to("cpu", copy=True) for name, value in own.items()})


class BestHead:
    """Copy of a replicate's best head so far, in the order of selection `paper`. The copy survives further training."""

    def __init__(self) -> None:
        self.head: SavedHead | None = None
        self._order: tuple[float, int, float] | None = None
        self._found: tuple[float, int] | None = None

    def see(self, epoch: int, score: "Scores", heads: StackedHeads, weight_decays: Sequence[float]) -> None:
        """Keep a copy of the best of these heads if it is better than the kept head, in the order of selection.paper.

        epoch: counted from 1. score: scores of the full heads on the evaluation split (scoring.Scores).
        """
        rows: list[dict[str, Any]] = [
            {"top1": float(score.top1[index]), "epoch": epoch, "weight_decay": float(weight_decay), "head": index}
            for index, weight_decay in enumerate(weight_decays)
            if math.isfinite(score.loss[index])
        ]
        best = min(rows, key=paper_order, default=None)
        if best is not None and (self._order is None or paper_order(best) < self._order):
            self._order, self._found = paper_order(best), (best["weight_decay"], best["epoch"])
            self.head = saved_head(heads, best["head"])

    def of(self, selected: Selected) -> SavedHead:
        """Return the kept head. Raise RuntimeError if a different head is selected."""
        if self.head is None or self._found != (selected.weight_decay, selected.epoch):
            raise RuntimeError(f"the head of {self._found} was kept, but {selected} is selected")
        return self.head


def write_heads(
    path: PathLike,
    heads: Mapping[tuple[int, str], SavedHead],
    description: dict[str, Any],
    projections: Mapping[int, Projection | None] = MappingProxyType({}),
) -> str:
    """Write heads by (replicate, selection), with their description as metadata; return the digest of the content.

    projections: projection of each replicate's features (None if they are not reduced), by replicate.
    """
    tensors = {
        f"{replicate}.{selection}.{name}": value
        for (replicate, selection), head in heads.items()
        for name, value in head.tensors().items()
    }
    tensors |= {
        f"{replicate}.{REDUCTION}.{name}": value.cpu()
        for replicate, projection in projections.items()
        if projection is not None
        for name, value in vars(projection).items()
    }
    return digest([description, write_tensors(path, tensors, description)])


class HeadsFile:
    """File of a probe's selected heads, read head by head. Opening a file without such heads raises UserError."""

    def __init__(self, path: PathLike) -> None:
        import safetensors

        self._path = path
        try:
            with safetensors.safe_open(path, "pt") as file:
                self.description: dict[str, Any] = json.loads((file.metadata() or {})["timecat"])
        except (OSError, KeyError, safetensors.SafetensorError) as error:
            raise UserError(f"{path} is not a file of a probe's heads ({error}): delete it and run again") from None

    @property
    def replicates(self) -> list[dict[str, Any]]:
        """Description of each replicate: its members, dimensions and heads."""
        found: list[dict[str, Any]] = self.description["replicates"]
        return found

    def head(self, replicate: int, selection: str) -> SavedHead:
        """Return the head that a selection chose in a replicate. It takes reduced features if the arm reduces them."""
        return SavedHead(**self._tensors(f"{replicate}.{selection}."))

    def projection(self, replicate: int) -> Projection | None:
        """Return the projection of a replicate's features, or None if they are not reduced."""
        tensors = self._tensors(f"{replicate}.{REDUCTION}.")
        return Projection(**tensors) if tensors else None

    def _tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        import safetensors

        with safetensors.safe_open(self._path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}

    def check(self, replicates: list[list[int]], dimensions: list[list[int]]) -> None:
        """Raise UserError unless the heads belong to replicates with these seeds and dimensions of members."""
        for name, found in (("members", replicates), ("dimensions", dimensions)):
            wanted = [replicate[name] for replicate in self.replicates]
            if found != wanted:
                raise UserError(
                    f"{self._path}: its heads are of replicates with {name} {wanted}, but the features have {found}:"
                    " delete it and run again"
                )
