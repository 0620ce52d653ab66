"""What each member contributes to a probe: its block of the weights alone, the probe without it, and how large it is.

A head's logits are a bias and one term per member m (block m of the columns of W, of γ, β and the running statistics μ, σ²):

    z = b + Σ_m (z_m + c_m),   z_m = W_m (γ_m ∘ (x_m - μ_m) / sqrt(σ²_m + ε)),   c_m = W_m β_m

**Block accuracy** of m: top-1 of b + z_m + c_m, the block of what batch norm gives times the block of the weights, and the
bias, as the original code does it. **Leave-one-out accuracy** of m: top-1 of z - z_m, the features of m replaced by
their running mean, so that c_m stays. Nothing is trained again: it says what the probe that there is loses, not what
one without this member would reach. Without batch norm, γ = 1, β = μ = 0 and there is no denominator: a block that is
left out is zero. **Weights**: the mean of |W_m| (as the original), and of |W_m diag(γ_m / sqrt(σ²_m + ε))|, the weight on
the features as they are. tests.references.members computes both accuracies head by head; a test holds them equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.timecat.features.memory import evaluation_chunk
from workflow_scripts.timecat.probing.saved_heads import SavedHead


@dataclass(frozen=True)
class Blocks:
    """Of each of k members: accuracies in percent and mean absolute weights, float64 [k]."""

    block_accuracy: np.ndarray
    leave_one_out_accuracy: np.ndarray
    weight: np.ndarray
    folded_weight: np.ndarray


def blocks(dimensions: Sequence[int]) -> list[slice]:
    """Which columns are each member's."""
    stops = np.cumsum(dimensions).tolist()
    return [slice(stop - dimension, stop) for stop, dimension in zip(stops, dimensions)]


def diagnose_head(
    head: SavedHead, features: Sequence[np.ndarray], labels: np.ndarray, device: torch.device | str = "cpu"
) -> Blocks:
    """What each member contributes to a head.

    features: of each member, [rows, D_m], may be mapped from disk. labels: int64 [rows]. One pass over the features and
    one product per member give all logits.
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
