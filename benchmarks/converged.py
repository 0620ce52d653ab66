"""Compare seconds and gradients of converged probes, SGD probes and scikit-learn on the same features and grid."""

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.stacked_heads import GRID, data_of, made_features
from workflow_scripts.timecat.config.probe import Probe

CLASSES = 16
EVALUATION = 4_000
CASES = ((12_000, 64), (12_000, 320), (4_000, 320))  # training rows, features
LATENT = 40
SCIKIT_LEARN_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Found:
    """Result of one way to fit the probe.

    gradient: largest relative gradient of the fits to all rows. accuracy: accuracy with selection `holdout`.
    """

    seconds: float
    gradient: float
    accuracy: float


def section() -> list[str]:
    """Measure, and return this section's lines of the page."""
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(1)
    return ["## Probes that converge", "", *table()]


def table(cases=CASES, evaluation: int = EVALUATION) -> list[str]:
    """Return the table, with a line for each case and each way to fit."""
    lines = [
        f"One replicate, {CLASSES} classes, {len(GRID)} weight decays, each fitted to all training rows and to nine "
        "tenths of them; one view; CPU seconds of one thread for the whole probe, not only its fits. The gradient is "
        "relative to that at zero weights, and the largest of the fits to all rows; 1e-4 counts as converged.",
        "",
        "| training rows x features | | s | gradient | accuracy, % |",
        "|---|---|---:|---:|---:|",
    ]
    contenders: dict[str, Callable[..., Found]] = {
        "`solver: sgd`, 28 epochs": partial(probed, protocol=Probe(lr=0.1, weight_decays=GRID).protocol()),
        "`solver: lbfgs`": partial(probed, protocol=Probe(solver="lbfgs", weight_decays=GRID).protocol()),
        "scikit-learn, float32": partial(by_scikit_learn, dtype=np.float32),
        "scikit-learn, float64": partial(by_scikit_learn, dtype=np.float64),
    }
    for rows, width in cases:
        features, labels, train = made_features(rows, evaluation, width, CLASSES, LATENT)
        data = data_of(labels, train)
        for name, run in contenders.items():
            found = run(features, data)
            lines.append(
                f"| {rows:,} x {width} | {name} | {found.seconds:.2f} | {found.gradient:.0e} | {found.accuracy:.2f} |"
            )
    return [
        *lines,
        "",
        f"scikit-learn is `LogisticRegression` (lbfgs, `tol={SCIKIT_LEARN_TOLERANCE:g}`) with warm starts along the "
        "grid; its default tolerance stops earlier.",
    ]


def probed(features, data, protocol) -> Found:
    """Run a whole probe that reads its features from files."""
    from workflow_scripts.timecat.probing import probe, regression
    from workflow_scripts.timecat.probing.protocol import Regression

    train = len(data.train_labels)
    run = regression.regress_replicate if isinstance(protocol, Regression) else probe.probe_replicate
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / probe.training_file("view0"), features[:train])
        np.save(folder / probe.EVALUATION, features[train:])
        np.save(folder / probe.HELDOUT, features[:train][data.heldout])
        begin = time.process_time()
        found = run(0, [2], [folder], ["view0"], data, protocol)
        seconds = time.process_time() - begin
    gradients = [row["relative_gradient"] for row in found.metrics if row["relative_gradient"] is not None]
    return Found(seconds, max(gradients), found.selected["holdout"].top1)


def by_scikit_learn(features, data, dtype) -> Found:
    """Fit the heads with scikit-learn and select a weight decay as in `probed`."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    labels, train, scores, gradients = data.train_labels, len(data.train_labels), {}, []
    begin = time.process_time()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the gradient shows how far a fit got
        models = {}
        for fit, rows in data.fits().items():
            x = features[:train][rows].astype(np.float64)
            mean, std = x.mean(0), np.sqrt(x.var(0) + 1e-5)
            own = ((x - mean) / std).astype(dtype)
            read = features[train:] if fit == "full" else features[:train][data.heldout]
            truth = data.evaluation_labels if fit == "full" else labels[data.heldout]
            read = ((read - mean) / std).astype(dtype)
            model = LogisticRegression(tol=SCIKIT_LEARN_TOLERANCE, max_iter=3_000, warm_start=True)
            for decay in sorted(GRID, reverse=True):
                model.set_params(C=1 / (len(rows) * decay)).fit(own, labels[rows])
                scores[fit, decay] = 100 * model.score(read, truth)
                models[fit, decay] = model.coef_.copy(), model.intercept_.copy(), own
    seconds = time.process_time() - begin
    for (fit, decay), (W, b, own) in models.items():
        if fit == "full":
            gradients.append(relative_gradient(own, labels, W, b, decay))
    best = max(GRID, key=lambda decay: (scores["nine_tenths", decay], decay))
    return Found(seconds, max(gradients), scores["full", best])


def relative_gradient(x, labels, W, b, weight_decay: float) -> float:
    """Return the norm of the gradient of the penalised mean cross entropy at (W, b), relative to that at zero."""
    x = x.astype(np.float64)

    def length(W, b) -> float:
        z = x @ W.T + b
        delta = np.exp(z - z.max(1, keepdims=True))
        delta /= delta.sum(1, keepdims=True)
        delta[np.arange(len(labels)), labels] -= 1
        return float(np.hypot(np.linalg.norm(delta.T @ x / len(x) + weight_decay * W), np.linalg.norm(delta.mean(0))))

    return length(W, b) / length(0 * W, 0 * b)
