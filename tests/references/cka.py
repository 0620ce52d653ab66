"""The plain twin of `cka`: HSIC's formula with n x n Gram matrices and the centring matrix, two sets at a time."""

import numpy as np


def hsic(K: np.ndarray, L: np.ndarray) -> float:
    """HSIC of two Gram matrices [n, n]: tr(KHLH) / (n - 1)², with H = I - 11ᵀ/n."""
    n = len(K)
    H = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(K @ H @ L @ H)) / (n - 1) ** 2


def linear_cka_reference(X: np.ndarray, Y: np.ndarray) -> float:
    """CKA of two sets of features [n, D₁], [n, D₂] with linear kernels: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))."""
    K, L = (features.astype(np.float64) @ features.astype(np.float64).T for features in (X, Y))
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
