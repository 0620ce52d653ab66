"""Slow reference for `probing/regression.py`: one float64 LogisticRegression per weight decay and fit."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from workflow_scripts.timecat.probing.heads import BN_EPS


class ReferenceRegression:
    """Logistic regression fitted to features [rows, D] of all views and labels [rows].

    penalty: weight decay of the probe.
    """

    def __init__(self, features, labels, penalty, batch_norm=True):
        features = np.asarray(features, np.float64)
        self.mean, self.std = np.zeros(features.shape[1]), np.ones(features.shape[1])
        if batch_norm:
            self.mean, self.std = features.mean(0), np.sqrt(features.var(0) + BN_EPS)
        self.labels, self.penalty = labels, penalty
        # With two classes scikit-learn fits the difference of the logits.
        two = 2 if len(np.unique(labels)) == 2 else 1
        strength = two / (len(labels) * penalty)
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning that it has not converged
            model = LogisticRegression(C=strength, tol=1e-10, max_iter=20_000)
            model.fit(self.standardised(features), labels)
        self.model = model
        signs = np.array([[-0.5], [0.5]]) if two == 2 else 1.0
        self.W, self.b = (
            signs * model.coef_,
            (signs * model.intercept_[:, None])[:, 0] if two == 2 else model.intercept_,
        )

    def standardised(self, features):
        """Return the features standardised as the model sees them."""
        return (np.asarray(features, np.float64) - self.mean) / self.std

    def logits(self, features):
        """Return the logits [rows, C]."""
        return self.standardised(features) @ self.W.T + self.b

    def objective(self, features, W=None, b=None):
        """Return mean cross entropy plus penalty of weights W and bias b on features [rows, D].

        Defaults of W and b are the fitted ones; the rows are the rows of the fit.
        """
        W, b = (self.W, self.b) if W is None else (np.asarray(W, np.float64), np.asarray(b, np.float64))
        z = self.standardised(features) @ W.T + b
        z -= z.max(1, keepdims=True)
        entropy = np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), self.labels]
        return entropy.mean() + self.penalty / 2 * (W**2).sum()
