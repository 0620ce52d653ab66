"""The selected heads of a probe as a file: enough to read them on other images and to take them apart.

One safetensors file per (data set, arm). Of head (replicate, selection), float32: `{replicate}.{selection}.weight`
[C, D] and `.bias` [C]; with batch norm also `.gamma`, `.beta`, `.running_mean` and `.running_var` [D]. Where features are
reduced before heads (reduction), of each replicate `{replicate}.reduction.mean`, `.variance` and `.matrix`. The description
(metadata) says of each replicate its members' seeds and dimensions, in the order of the features, and of each head its
weight decay, epoch and evaluation top-1:

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


REDUCTION = "reduction"  # what stands in the place of a selection in names of a projection's tensors


@dataclass(frozen=True)
class SavedHead:
    """One head, float32 (on the CPU, as it is saved): W [C, D], b [C], and of batch norm γ, β, μ, σ² [D], or None without it."""

    weight: torch.Tensor
    bias: torch.Tensor
    gamma: torch.Tensor | None = None
    beta: torch.Tensor | None = None
    running_mean: torch.Tensor | None = None
    running_var: torch.Tensor | None = None

    @property
    def batch_norm(self) -> bool:
        """Whether features are normalised."""
        return self.gamma is not None

    @property
    def scale(self) -> torch.Tensor:
        """What a feature is multiplied by before W, γ / sqrt(σ² + ε): [D]; ones without batch norm."""
        if self.gamma is None or self.running_var is None:
            return torch.ones(self.weight.shape[1])
        return self.gamma / torch.sqrt(self.running_var + BN_EPS)

    def stacked(self, device: torch.device | str = "cpu") -> StackedHeads:
        """The head as the probe had it: on the CPU, with one thread, it gives the same logits, bit for bit.

        The rows must be scored in the same pieces (memory.evaluation_chunk). On a GPU the last bits may differ:
        there a probe multiplies all of its heads at once.
        """
        # It takes no step: weight decay and momentum are of no account.
        heads = StackedHeads(self.weight, [0.0], momentum=0.0, batch_norm=self.batch_norm, device=device)
        for name, value in self.tensors().items():
            if name != "weight":
                getattr(heads, "b" if name == "bias" else name).copy_(value)
        return heads

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, float32 [rows, C], of features [rows, D] on the device of the features."""
        return self.stacked(features.device).logits(features.float())[:, 0]

    def on(self, device: torch.device | str) -> "SavedHead":
        """The head on a device."""
        return SavedHead(**{name: value.to(device) for name, value in self.tensors().items()})

    def of_classes(self, classes: npt.ArrayLike) -> "SavedHead":
        """The head of these classes alone (int64, in their order): what masks its predictions to them."""
        rows = torch.as_tensor(classes)
        return SavedHead(**self.tensors() | {"weight": self.weight[rows], "bias": self.bias[rows]})

    def before(self, projection: Projection | None) -> "SavedHead":
        """The head on features that are not reduced yet, with the same logits but for rounding: the projection becomes part of W,
        and what standardises columns becomes its batch norm."""
        if projection is None:
            return self
        W, bias = self.weight * self.scale, self.bias
        if self.running_mean is not None and self.beta is not None:
            bias = bias + self.weight @ self.beta - W @ self.running_mean
        mean, variance, ones = projection.mean, projection.variance, torch.ones_like(projection.mean)
        return SavedHead(W @ projection.matrix, bias, ones, torch.zeros_like(ones), mean, variance)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its tensors by name, without those that it lacks."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


def saved_head(heads: StackedHeads, index: int) -> SavedHead:
    """A copy of one of the heads as it is now; what is trained on does not change it."""
    own = {"weight": heads.W[index], "bias": heads.b[index]}
    if heads.batch_norm:
        own |= {"gamma": heads.gamma[index], "beta": heads.beta[index]}
        own |= {"running_mean": heads.running_mean, "running_var": heads.running_var}
    return SavedHead(**{name: value.detach().float().to("cpu", copy=True) for name, value in own.items()})


class BestHead:
    """The head that selection `paper` takes of a replicate, copied while it is there: training goes on from it."""

    def __init__(self) -> None:
        self.head: SavedHead | None = None
        self._order: tuple[float, int, float] | None = None
        self._found: tuple[float, int] | None = None

    def see(self, epoch: int, score: "Scores", heads: StackedHeads, weight_decays: Sequence[float]) -> None:
        """Keep the best of these heads if it is better than what is kept, in the order of selection.paper.

        epoch: from 1. score: of the full heads on the evaluation split (scoring.Scores).
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
        """The kept head, which must be the selected one."""
        if self.head is None or self._found != (selected.weight_decay, selected.epoch):
            raise RuntimeError(f"the head of {self._found} was kept, {selected} is selected")
        return self.head


def write_heads(
    path: PathLike,
    heads: Mapping[tuple[int, str], SavedHead],
    description: dict[str, Any],
    projections: Mapping[int, Projection | None] = MappingProxyType({}),
) -> str:
    """Write heads by (replicate, selection), with their description as metadata; return the digest of the content.

    projections: what reduces the features of a replicate, if they are reduced."""
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
    """The file of a probe's selected heads, read head by head. UserError when it is not one."""

    def __init__(self, path: PathLike) -> None:
        import safetensors

        self._path = path
        try:
            with safetensors.safe_open(path, "pt") as file:
                self.description: dict[str, Any] = json.loads((file.metadata() or {})["timecat"])
        except (OSError, KeyError, safetensors.SafetensorError) as error:
            raise UserError(f"{path} is not a file of a probe's heads ({error}); delete it and run again") from None

    @property
    def replicates(self) -> list[dict[str, Any]]:
        """Of each replicate its members, dimensions and heads, as the description has them."""
        found: list[dict[str, Any]] = self.description["replicates"]
        return found

    def head(self, replicate: int, selection: str) -> SavedHead:
        """The head that a selection takes of a replicate: on its features as they are reduced, if they are."""
        return SavedHead(**self._tensors(f"{replicate}.{selection}."))

    def projection(self, replicate: int) -> Projection | None:
        """What reduces the features of a replicate before its heads; None where nothing does."""
        tensors = self._tensors(f"{replicate}.{REDUCTION}.")
        return Projection(**tensors) if tensors else None

    def _tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        import safetensors

        with safetensors.safe_open(self._path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}

    def check(self, replicates: list[list[int]], dimensions: list[list[int]]) -> None:
        """UserError unless the heads are of these replicates: seeds and dimension of every member."""
        for name, found in (("members", replicates), ("dimensions", dimensions)):
            wanted = [replicate[name] for replicate in self.replicates]
            if found != wanted:
                raise UserError(
                    f"{self._path}: its heads are of replicates with {name} {wanted}, the features have {found};"
                    " delete it and run again"
                )
