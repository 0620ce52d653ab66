"""Compute linear CKA: how similar two members' features of the same images are, up to rotation and scale.

Source: Kornblith, Norouzi, Lee, Hinton (2019, arXiv 1905.00414). With the columns of X [n, D₁] and Y [n, D₂] centred,

    CKA(X, Y) = ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)    (Frobenius norms)

and ‖YᵀX‖² = Σ (XXᵀ) ∘ (YYᵀ), so it can be computed from the D₁ x D₂ products or from the n x n Gram matrices; the
smaller ones are used. A CKA of 1 means equal up to rotation and scale, a CKA of 0 no common linear information. With
fewer images than features, CKA is biased towards 1. tests.references.cka computes it by HSIC's formula; a test checks
that both give the same results.
"""

from collections.abc import Sequence

import numpy as np
import torch

CHUNK = 2048  # rows held in memory as float64 at a time when the products are D x D


def linear_cka(features: Sequence[np.ndarray], device: torch.device | str = "cpu", chunk: int = CHUNK) -> np.ndarray:
    """Return the CKA of each pair of k sets of features, float64 [k, k].

    features: arrays [n, D_m] of any float dtype for the same n images, possibly mapped from disk: for D x D products,
    ``chunk`` rows are read at a time. The CKA of a set of constant features is NaN. Sums are in float64.
    """
    rows, dims = len(features[0]), [own.shape[1] for own in features]
    means = [_mean(own, chunk) for own in features]
    in_pairs = sum(a * b for i, a in enumerate(dims) for b in dims[i:])
    if len(features) * rows**2 < in_pairs:
        squares = _by_images(features, means, device)
    else:
        squares = _by_features(features, means, device, chunk)
    norms = np.sqrt(np.diag(squares))
    with np.errstate(divide="ignore", invalid="ignore"):
        return squares / np.outer(norms, norms)


def _mean(features: np.ndarray, chunk: int) -> np.ndarray:
    total = np.zeros(features.shape[1])
    for start in range(0, len(features), chunk):
        total += features[start : start + chunk].astype(np.float64).sum(0)
    return total / len(features)


def _centred(features: np.ndarray, mean: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """Return rows of features minus the mean, float64 on the device."""
    return torch.from_numpy(np.asarray(features, dtype=np.float64) - mean).to(device)


def _by_features(
    features: Sequence[np.ndarray], means: Sequence[np.ndarray], device: torch.device | str, chunk: int
) -> np.ndarray:
    """Return ‖XᵢᵀXⱼ‖² of each pair of sets, [k, k], from D x D products summed over chunks of rows."""
    k = len(features)
    products = {
        (i, j): torch.zeros(features[i].shape[1], features[j].shape[1], dtype=torch.float64, device=device)
        for i in range(k)
        for j in range(i, k)
    }
    for start in range(0, len(features[0]), chunk):
        parts = [_centred(own[start : start + chunk], mean, device) for own, mean in zip(features, means)]
        for (i, j), product in products.items():
            product.addmm_(parts[i].T, parts[j])
    squares = np.empty((k, k))
    for (i, j), product in products.items():
        squares[i, j] = squares[j, i] = product.square().sum().item()
    return squares


def _by_images(features: Sequence[np.ndarray], means: Sequence[np.ndarray], device: torch.device | str) -> np.ndarray:
    """Return ‖XᵢᵀXⱼ‖² of each pair of sets, [k, k], from the n x n Gram matrix of each set."""
    grams = []
    for own, mean in zip(features, means):
        x = _centred(own, mean, device)
        grams.append((x @ x.T).flatten())
    stacked = torch.stack(grams)
    return (stacked @ stacked.T).cpu().numpy()
