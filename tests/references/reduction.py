"""Slow reference for `probing/reduction.py`: scikit-learn's PCA, and Gram-Schmidt row by row, in float64."""

import numpy as np
import torch
from sklearn.decomposition import PCA

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.probing.heads import BN_EPS


class ReferenceReduction:
    """Projection that is fitted to features [rows, columns].

    members: seeds of the replicate, which determine a random projection.
    """

    def __init__(self, features, method, dimensions, members=()):
        features = np.asarray(features, np.float64)
        self.mean, self.std = features.mean(0), np.sqrt(features.var(0) + BN_EPS)
        if method == "pca":
            self.model = PCA(dimensions, svd_solver="full").fit(self.standardised(features))
            self.matrix = fixed_signs(self.model.components_)
        else:
            self.matrix = orthonormal(gaussian(dimensions, features.shape[1], members))

    def standardised(self, features):
        """Return the features standardised with the fitted mean and standard deviation."""
        return (np.asarray(features, np.float64) - self.mean) / self.std

    def __call__(self, features):
        """Return the reduced features, [rows, dimensions]."""
        return self.standardised(features) @ self.matrix.T


def fixed_signs(components):
    """Return the components with signs such that the loading with the largest absolute value of each is positive."""
    return np.array([row if row[np.argmax(np.abs(row))] > 0 else -row for row in components])


def gaussian(dimensions, columns, members):
    """Return the first ``dimensions`` rows of the Gaussian matrix [columns, columns] of a replicate."""
    generator = torch.Generator().manual_seed(randomness.key("reduce", *members) >> 1)
    return torch.randn(dimensions, columns, generator=generator, dtype=torch.float64).numpy()


def orthonormal(rows):
    """Orthonormalise rows one after the other (Gram-Schmidt, applied twice because of rounding errors)."""
    found = []
    for row in rows:
        for other in found + found:
            row = row - (row @ other) * other
        found.append(row / np.linalg.norm(row))
    return np.array(found)
