"""Slow reference for `measures/cka.py`: HSIC with n x n Gram matrices, for one pair of feature sets at a time."""

import numpy as np


def hsic(K: np.ndarray, L: np.ndarray) -> float:
    """Return the HSIC of two Gram matrices [n, n]: tr(KHLH) / (n - 1)², with the centring matrix H = I - 11ᵀ/n."""
    n = len(K)
    H = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(K @ H @ L @ H)) / (n - 1) ** 2


def linear_cka_reference(X: np.ndarray, Y: np.ndarray) -> float:
    """Return the linear CKA of features [n, D₁] and [n, D₂]: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))."""
    K, L = (features.astype(np.float64) @ features.astype(np.float64).T for features in (X, Y))
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
