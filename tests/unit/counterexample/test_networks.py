"""Test the counterexample's networks and probes against one torch module at a time, and what is measured of them."""

import numpy as np
import pytest
import torch

from tests.references.counterexample import (
    Network,
    Probe,
    probed_features_reference,
    train_reference,
)
from workflow_scripts.timecat.counterexample.exact import IS_POSITIVE, QUARTERS, masses
from workflow_scripts.timecat.counterexample.networks import (
    KINDS,
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

MIXTURES = np.array([[3, 0, 1, 0], [1, 1, 0, 2]])
DATA = np.array([data_set(mixture) for mixture in MIXTURES])
SEEDS = (5, 8, 13)
STEPS, BATCH = 20, 5


def orders(purpose: str = "order", steps: int = STEPS):
    return np.array([batches(purpose, 16, steps, BATCH, seed) for seed in SEEDS])


def trained(kind: str, recipe: Recipe, dtype=np.float64, order=None) -> Networks:
    """Return networks of a kind after training on every mixture."""
    networks = for_each_mixture(initial(kind, 4, 1.0, SEEDS, dtype), len(MIXTURES))
    train(networks, batch_counts(DATA, orders() if order is None else order), recipe)
    return networks


def runs():
    """Return (index of the run, points of its rows, index of its seed) for every run, in order."""
    return [(m * len(SEEDS) + s, DATA[m], s) for m in range(len(MIXTURES)) for s in range(len(SEEDS))]


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
@pytest.mark.parametrize("kind", KINDS)
def test_networks_equal_one_torch_module_at_a_time(kind, weight_decay):
    networks, start = trained(kind, Recipe(0.7, weight_decay, BATCH)), initial(kind, 4, 1.0, SEEDS, np.float64)
    order = orders()
    for run, points, s in runs():
        model = Network(kind, start.U[..., s], start.w[:, s])
        before = [parameter.detach().clone() for parameter in model.parameters()]
        train_reference(model, points[order[s]], 0.7, weight_decay)
        assert all((parameter != old).any() for parameter, old in zip(model.parameters(), before))
        if kind == "gates":
            hidden = {"U": torch.diag(model.hidden.u)}
        else:
            layer = model.hidden[0] if kind == "relu" else model.hidden
            hidden = {"U": layer.weight} | ({"c": layer.bias} if kind == "relu" else {})
        wanted = hidden | {"w": model.output.weight[0], "b": model.output.bias[0]}
        for name, value in wanted.items():
            np.testing.assert_allclose(getattr(networks, name)[..., run], value.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stages_float32_is_close_to_float64(kind):
    small, large = (trained(kind, Recipe(0.7, 0.1, BATCH), dtype) for dtype in (np.float32, np.float64))
    assert small.U.dtype == small.b.dtype == np.float32
    np.testing.assert_allclose(small.outputs(), large.outputs(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_probes_equal_one_torch_module_at_a_time(kind):
    """Few, small steps leave some distributions unsolved."""
    networks = trained(kind, Recipe(0.7, 0.1, BATCH))
    products = scaled(kept(networks, 0.05).products, 0.05)
    order = orders("probe order", 16)
    components = np.array([np.repeat(np.arange(4), 4 * quarters) for quarters in QUARTERS])
    found = solved(products, batch_counts(components, order), lr=0.8)
    wanted = np.empty_like(found)
    for run, _, s in runs():
        features = probed_features_reference(torch.as_tensor(networks.hidden()[:, :, run]).T, 0.05)
        np.testing.assert_allclose(products[:, :, run], features @ features.T, rtol=1e-9, atol=1e-12)
        for component, points in enumerate(components):
            probe = Probe(features.shape[1])
            train_reference(probe, points[order[s]], 0.8, inputs=features)
            answers = probe(features).detach().numpy() > 0
            wanted[component, run] = (answers == IS_POSITIVE)[QUARTERS[component] > 0].all()
    assert np.array_equal(found, wanted) and 0 < wanted.mean() < 1


@pytest.mark.parametrize("members", [1, 2, 3])
def test_a_group_has_the_inner_products_of_concatenated_features(members):
    """Groups of two of three seeds leave the last seed out."""
    networks = trained("relu", Recipe(0.7, 0.1, BATCH))
    found = concatenated(kept(networks, 0.05).products, len(SEEDS), members)
    groups = len(SEEDS) // members
    assert found.shape == (4, 4, len(MIXTURES) * groups)
    for mixture in range(len(MIXTURES)):
        for group in range(groups):
            first = mixture * len(SEEDS) + group * members
            h = np.concatenate([networks.hidden()[:, :, run] for run in range(first, first + members)]).T
            h = h - h.mean(0)
            np.testing.assert_allclose(found[:, :, mixture * groups + group], h @ h.T, rtol=1e-9, atol=1e-12)


def test_a_run_does_not_depend_on_the_others():
    together = trained("relu", Recipe(0.7, 0.1, BATCH))
    alone = initial("relu", 4, 1.0, SEEDS[1:2], np.float64)
    train(alone, batch_counts(DATA[1:], orders()[1:2]), Recipe(0.7, 0.1, BATCH))
    assert np.array_equal(alone.U[..., 0], together.U[..., len(SEEDS) + 1])


def test_a_diverging_run_keeps_no_features():
    """The remaining runs are not affected."""
    networks, calm = (for_each_mixture(initial("linear", 4, 1.0, SEEDS, np.float64), 2) for _ in range(2))
    networks.w[:, 2] = np.inf
    for one in (networks, calm):
        train(one, batch_counts(DATA, orders()), Recipe(0.7, 0.0, BATCH))
    others = [0, 1, 3, 4, 5]
    assert np.array_equal(networks.U[..., others], calm.U[..., others]) and not np.isfinite(networks.U[..., 2]).all()
    left = kept(networks, 0.05)
    assert left.dimensions[2] == 0 and (left.dimensions[others] == 2).all()
    np.testing.assert_array_equal(left.products[..., others], kept(calm, 0.05).products[..., others])


def test_all_seeds_see_the_same_rows_in_different_orders():
    """The rows of a mixture have exactly its masses, and each epoch has every row once for every seed."""
    for mixture, rows in zip(MIXTURES, DATA):
        assert np.array_equal(np.bincount(rows, minlength=4), masses(mixture))
    first, second = (batches("order", 16, 16, 4, seed).reshape(4, 16) for seed in (0, 1))
    for epoch in range(4):
        assert sorted(first[epoch]) == sorted(second[epoch]) == list(range(16))
    assert len({tuple(epoch) for epoch in (*first, *second)}) == 8
    assert np.array_equal(batches("order", 16, 9, 4, 0), batches("order", 16, 16, 4, 0)[:9])
    counts = batch_counts(DATA, orders())
    assert (counts.sum(1) == BATCH).all()
    assert batch_counts(DATA, np.zeros((1, 2, 300), int)).max() == 300  # too large for a byte


def test_initial_weights_depend_only_on_the_seed():
    two, one = initial("linear", 4, 1.0, (3, 9)), initial("linear", 4, 1.0, (9,))
    assert np.array_equal(two.U[..., 1], one.U[..., 0]) and not np.array_equal(two.U[..., 0], two.U[..., 1])
    many = initial("relu", 8, 2.0, range(400), np.float64)
    assert many.U.std() == pytest.approx(2 / np.sqrt(2), rel=0.05) and many.w.std() == pytest.approx(
        2 / np.sqrt(8), rel=0.05
    )
    gates = initial("gates", 8, 1.0, range(3))
    assert gates.U.shape == (2, 2, 3) and (gates.U[0, 1] == 0).all() and (gates.U[1, 1] != 0).all()


def network(kind: str, U, c=None) -> Networks:
    """Return one network with these weights."""
    U = np.asarray(U, float)[..., None]
    c = np.zeros((len(U), 1)) if c is None else np.asarray(c, float)[:, None]
    return Networks(kind, U, c, np.ones((len(U), 1)), np.zeros(1))


@pytest.mark.parametrize(
    ("made", "dimensions", "feature"),
    [
        (network("gates", [[2, 0], [0, -0.5]]), 2, 1),
        (network("gates", [[0.1, 0], [0, 3]]), 1, 2),
        (network("gates", [[1e-4, 0], [0, 1e-5]]), 0, None),  # both are lost, although one is ten times the other
        (network("linear", [[1, 0.5], [-2, -1], [4, 2]]), 1, 1),  # one direction, with any number of units
        (network("linear", [[1, 0.5], [-2, -1], [4, 3]]), 2, 1),
        (network("relu", [[1, 0], [-1, 0]]), 2, 1),  # the two sides of x1 are two features
        (network("relu", [[0, 1], [0, 1]]), 1, 2),
        (network("relu", [[1, 0], [0, 1]], [-2, -2]), 0, None),  # dead units
    ],
)
def test_remaining_dimensions_and_features_are_measured(made, dimensions, feature):
    found = kept(made, 0.05)
    assert found.dimensions == [dimensions] and (feature is None or found.feature == [feature])


def solved_by_a_probe(*made: Networks) -> list[bool]:
    """Return whether a probe on the concatenated features of these networks solves each distribution."""
    products = np.concatenate([kept(one, 0.03).products for one in made], -1)
    rows = np.array([data_set(8 * row) for row in np.eye(4, dtype=int)])
    order = np.array([batches("probe order", 32, 1000, 8, seed=0)])
    products = scaled(concatenated(products, len(made), len(made)), 0.03)
    return solved(products, batch_counts(rows, order), 0.5)[:, 0].tolist()


@pytest.mark.parametrize("scale", [1e-1, 1.0, 10.0])
def test_a_probe_solves_what_the_features_allow_at_any_scale(scale):
    """One feature solves two distributions, both features solve four, and a mixed direction solves two or none."""
    for U, wanted in (
        ([[1, 0], [0, 0]], [True, True, False, False]),
        ([[0, 0], [0, 1]], [False, False, True, True]),
        ([[1, 0], [0, 1]], [True] * 4),
        ([[1, 0], [0, 0.1]], [True] * 4),
        ([[1, 0], [0, 1e-3]], [True, True, False, False]),  # too little of x2 remains for this probe
    ):
        assert solved_by_a_probe(network("gates", scale * np.array(U))) == wanted
    assert solved_by_a_probe(network("linear", [[scale, 0.5 * scale]])) == [True, True, False, False]
    assert solved_by_a_probe(network("linear", [[scale, scale]])) == [False] * 4
    assert solved_by_a_probe(network("relu", scale * np.array([[1, 0], [-1, 0]]))) == [True] * 4  # |x1|


def test_members_that_keep_different_features_together_solve_all_distributions():
    first, second = network("gates", [[1, 0], [0, 0]]), network("gates", [[0, 0], [0, 0.5]])
    assert solved_by_a_probe(first, second) == [True] * 4
    assert solved_by_a_probe(first, first) == [True, True, False, False]
