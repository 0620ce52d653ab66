"""Train and measure the counterexample's networks: every kind, weight decay and learning rate on every mixture."""

from collections.abc import Iterator

import numpy as np

from workflow_scripts.timecat.counterexample.exact import IS_POSITIVE, QUARTERS, masses, untied
from workflow_scripts.timecat.counterexample.files import Setting
from workflow_scripts.timecat.counterexample.networks import (
    Networks,
    Recipe,
    batch_counts,
    batches,
    data_set,
    for_each_mixture,
    initial,
    train,
)
from workflow_scripts.timecat.counterexample.probe import concatenated, kept, scaled, solved
from workflow_scripts.timecat.counterexample.settings import Settings


def run_all(settings: Settings) -> Iterator[Setting]:
    """Train and measure the networks of one setting after the other.

    settings: the block `counterexample` of the config. All seeds see the same rows of a mixture. The order of rows
    depends only on the seed, not on the setting or the mixture; initial weights depend only on the seed and the kind of
    network.
    """
    mixtures, seeds = untied(settings.grid), range(settings.seeds)
    on_mixtures = _counts("order", mixtures, settings.steps, settings)
    pure = settings.grid * np.eye(len(QUARTERS), dtype=int)
    on_components = _counts("probe order", pure, settings.probe_steps, settings)
    for kind in settings.networks:
        start = initial(kind, settings.width, settings.init_scale, seeds)
        for weight_decay in settings.weight_decays:
            for lr in settings.lrs:
                networks = for_each_mixture(start, len(mixtures))
                train(networks, on_mixtures, Recipe(lr, weight_decay, settings.batch_size))
                with np.errstate(over="ignore", invalid="ignore"):  # runs that diverged are counted
                    found = _measured(networks, weight_decay, lr, mixtures, on_components, settings)
                yield found


def _counts(purpose: str, mixtures: np.ndarray, steps: int, settings: Settings) -> np.ndarray:
    """Return batch_counts() of the mixtures' data sets in the order of every seed: [steps, 4, mixtures x seeds]."""
    rows = len(QUARTERS) * settings.grid
    order = [batches(purpose, rows, steps, settings.batch_size, seed) for seed in range(settings.seeds)]
    return batch_counts(np.array([data_set(mixture) for mixture in mixtures]), np.array(order))


def _measured(
    networks: Networks,
    weight_decay: float,
    lr: float,
    mixtures: np.ndarray,
    on_components: np.ndarray,
    settings: Settings,
) -> Setting:
    """Return the results of trained networks of one setting, including the results of probes on their features."""
    seeds, members, threshold = settings.seeds, settings.members, settings.threshold
    left = kept(networks, threshold)
    M = len(mixtures)
    outputs = networks.outputs()
    wrong = (outputs > 0) != IS_POSITIVE[:, None]
    mass = masses(mixtures).T[:, :, None] / (len(QUARTERS) * settings.grid)
    together = np.zeros((len(QUARTERS), M, 0), bool)
    if seeds >= members:
        # The probe of a group takes rows in the order of the group's first seed.
        order = on_components.reshape(*on_components.shape[:2], len(QUARTERS), seeds)[..., ::members]
        order = order[..., : seeds // members].reshape(*on_components.shape[:2], -1)
        together = scaled(concatenated(left.products, seeds, members), threshold)
        together = solved(together, order, settings.probe_lr).reshape(len(QUARTERS), M, -1)
    return Setting(
        networks.kind,
        weight_decay,
        lr,
        left.dimensions.reshape(M, seeds),
        np.where(left.dimensions > 0, left.feature, 0).reshape(M, seeds),
        solved(scaled(left.products, threshold), on_components, settings.probe_lr).reshape(-1, M, seeds),
        together,
        (wrong.reshape(-1, M, seeds) * mass).sum(0),
        ~np.isfinite(outputs).all(0).reshape(M, seeds),
    )
