"""Measure each member's contribution to a probe: accuracy of its block alone, accuracy without it, and its weights.

A head's logits are a bias plus one term per member m (block m of the columns of W, γ, β and the statistics μ, σ²):

    z = b + Σ_m (z_m + c_m),   z_m = W_m (γ_m ∘ (x_m - μ_m) / sqrt(σ²_m + ε)),   c_m = W_m β_m

**Block accuracy** of m: top-1 of b + z_m + c_m, the block of batch norm's output times the block of the weights, plus
the bias, as in the original code. **Leave-one-out accuracy** of m: top-1 of z - z_m, with the features of m replaced by
their running mean, so that c_m remains. The probe is not retrained: this measures what the trained probe loses, not
what a probe without this member would reach. Without batch norm, γ = 1, β = μ = 0 and there is no denominator: a block
that is left out is zero. **Weights**: the mean of |W_m| (as in the original code), and of
|W_m diag(γ_m / sqrt(σ²_m + ε))|, the weight on unnormalised features. tests.references.members computes both accuracies
head by head; a test checks that both give the same results.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.timecat.features.memory import evaluation_chunk
from workflow_scripts.timecat.probing.saved_heads import SavedHead


@dataclass(frozen=True)
class Blocks:
    """Contributions of k members to a head: accuracies in percent and mean absolute weights, float64 [k] each."""

    block_accuracy: np.ndarray
    leave_one_out_accuracy: np.ndarray
    weight: np.ndarray
    folded_weight: np.ndarray


def blocks(dimensions: Sequence[int]) -> list[slice]:
    """Return the columns of each member as slices, from the members' dimensions."""
    stops = np.cumsum(dimensions).tolist()
    return [slice(stop - dimension, stop) for stop, dimension in zip(stops, dimensions)]


def diagnose_head(
    head: SavedHead, features: Sequence[np.ndarray], labels: np.ndarray, device: torch.device | str = "cpu"
) -> Blocks:
    """Return the contribution of each member to a head.

    features: [rows, D_m] of each member, possibly mapped from disk. labels: int64 [rows]. All logits come from one pass
    over the features and one product per member.
    """
    k, N, C = len(features), len(labels), len(head.weight)
    own = blocks([member.shape[1] for member in features])
    scale = head.scale
    constants = torch.stack(
        [head.weight[:, m] @ head.beta[m] if head.beta is not None else torch.zeros(C) for m in own]
    )
    constants, bias = constants.to(device), head.bias.to(device)
    weights = [(head.weight[:, m] * scale[m]).T.contiguous().to(device) for m in own]
    means = [0.0 if head.running_mean is None else head.running_mean[m].to(device) for m in own]
    truth = torch.from_numpy(labels)
    hits = torch.zeros(2, k, dtype=torch.int64)
    chunk = evaluation_chunk(C)
    for start in range(0, N, chunk):
        rows = slice(start, start + chunk)
        x = [torch.from_numpy(np.array(member[rows])).to(device).float() for member in features]
        terms = torch.stack([(part - mean) @ weight for part, mean, weight in zip(x, means, weights)])  # [k, rows, C]
        alone = terms + constants.unsqueeze(1) + bias
        without = terms.sum(0) + constants.sum(0) + bias - terms
        y = truth[rows].to(device)
        hits += torch.stack([(z.argmax(2) == y).sum(1) for z in (alone, without)]).cpu()
    block_accuracy, leave_one_out_accuracy = (100 * hits.double() / N).numpy()
    return Blocks(
        block_accuracy,
        leave_one_out_accuracy,
        np.array([head.weight[:, m].abs().double().mean().item() for m in own]),
        np.array([(head.weight[:, m] * scale[m]).abs().double().mean().item() for m in own]),
    )
