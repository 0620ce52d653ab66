"""Slow reference for `reweighting.logistic_regression`: proximal gradient steps with momentum, in NumPy."""

import numpy as np


def logistic_regression(
    features: np.ndarray, labels: np.ndarray, c: float, steps: int = 20_000
) -> tuple[np.ndarray, float]:
    """Return the weight [D] and bias that minimise |w|_1 + |b| + c Σ log(1 + exp(-±(w·x + b))).

    Source: Beck, Teboulle 2009 (FISTA), with a step size of one over the largest curvature.
    """
    with_one = np.hstack([features, np.ones((len(features), 1))])
    signs = 2.0 * labels - 1.0
    step = 4.0 / (c * np.linalg.norm(with_one, 2) ** 2)
    weight = ahead = np.zeros(with_one.shape[1])
    momentum = 1.0
    for _ in range(steps):
        margins = signs * (with_one @ ahead)
        moved = ahead + step * c * with_one.T @ (signs / (1.0 + np.exp(margins)))
        next_weight = np.sign(moved) * np.maximum(np.abs(moved) - step, 0.0)
        next_momentum = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = next_weight + (momentum - 1.0) / next_momentum * (next_weight - weight)
        weight, momentum = next_weight, next_momentum
    return weight[:-1], float(weight[-1])
