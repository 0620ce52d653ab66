"""Deep feature reweighting: retrain the last layer on rows in which all groups have the same size.

Source: Kirichenko, Izmailov, Wilson 2023, "Last Layer Re-Training is Sufficient for Robustness to Spurious
Correlations" (arXiv 2204.02937), section 4 and appendix: standardised features, logistic regression with an L1 penalty,
its strength tuned on half of the rows by the accuracy of the worst group, weights averaged over several balanced draws.
One scaler, fitted to all rows, serves tuning and fits (the authors' code uses different ones). Only two classes are
supported. tests.references.reweighting uses a different algorithm; a test checks that both give the same results.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.groups import group_accuracies
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.sampling import balanced_draw

TOLERANCE = 1e-6  # tolerance of liblinear, relative to the first gradient
ITERATIONS = 5_000

# Solver: features, labels, inverse strength of the penalty -> weight, bias.
Solve = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class LastLayer:
    """Last layer with the logit of class 1: (x - mean) / std @ weight + bias.

    mean, std, weight: float64 [D]. c: selected inverse strength of the penalty.
    """

    mean: np.ndarray
    std: np.ndarray
    weight: np.ndarray
    bias: float
    c: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of class 1, float64 [rows], of features [rows, D]."""
        return (np.asarray(features, np.float64) - self.mean) / self.std @ self.weight + self.bias


def halves(groups: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two random halves of the rows, each ascending. Groups of odd size have one more row in the first half."""
    order = random.permutation(len(groups))
    place = np.empty(len(groups), np.int64)  # rank of each row within its group, in random order
    for group in range(groups.max() + 1):
        own = order[groups[order] == group]
        place[own] = np.arange(len(own))
    first = place < (np.bincount(groups)[groups] + 1) // 2
    return np.flatnonzero(first), np.flatnonzero(~first)


def check_rows(labels: np.ndarray, groups: np.ndarray) -> None:
    """Raise UserError if there are not exactly two classes, or if a group has a single row."""
    if set(np.unique(labels)) != {0, 1}:
        raise UserError(
            f"`transfer: reweight` is for two classes, but the data set has {len(np.unique(labels))}: "
            "choose a data set with two classes"
        )
    if np.bincount(groups).min() < 2:
        raise UserError(
            "`transfer: reweight`: a group has a single training row, so it cannot serve both training and tuning: "
            "choose different `reweight.groups`"
        )


def fit_last_layer(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, settings: Reweighting, solve: Solve | None = None
) -> LastLayer:
    """Fit a last layer to features [rows, D], labels in {0, 1} [rows] and groups (ints from 0) [rows].

    solve(features, labels, c) -> (weight, bias): the regression (default: by liblinear).
    """
    check_rows(labels, groups)
    solve = solve or logistic_regression
    features = np.asarray(features, np.float64)
    mean, std = features.mean(axis=0), features.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    scaled = (features - mean) / std
    random = np.random.default_rng(key("dfr", settings.seed))
    first, second = halves(groups, random)
    drawn = first[balanced_draw(groups[first], random)]
    worst = []
    for c in settings.c:
        weight, bias = solve(scaled[drawn], labels[drawn], c)
        hits = (scaled[second] @ weight + bias > 0) == labels[second]
        worst.append(group_accuracies(hits, groups[second]).min())
    best = settings.c[int(np.argmax(worst))]  # the first c with the highest accuracy
    fits = []
    for _ in range(settings.resamples):
        rows = balanced_draw(groups, random)
        fits.append(solve(scaled[rows], labels[rows], best))
    weight = np.mean([weight for weight, _ in fits], axis=0)
    return LastLayer(mean, std, weight, float(np.mean([bias for _, bias in fits])), best)


def logistic_regression(features: np.ndarray, labels: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    """Return the weight [D] and the bias that minimise |w|_1 + |b| + c Σ log(1 + exp(-±(w·x + b))).

    liblinear penalises the bias, too.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=c, l1_ratio=1.0, solver="liblinear", tol=TOLERANCE, max_iter=ITERATIONS, random_state=0
    )
    model.fit(features, labels)
    return model.coef_[0], float(model.intercept_[0])
