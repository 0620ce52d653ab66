"""Stacked heads: equal to separate modules and optimizers, and independent of one another."""

import pytest
import torch

from tests.references.heads import ReferenceHeads
from workflow_scripts.timecat.probing.heads import StackedHeads, initial_weight

WEIGHT_DECAYS = [1e-4, 5e-3, 5e-2, 0.5]
LR = 0.05


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def data(rows=300, widths=(20, 13), classes=7, dtype=torch.float32):
    """Features of members of different width and scale, and labels that they tell something about."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, classes, (rows,), generator=generator)
    members = [
        scale
        * (
            torch.randn(rows, width, generator=generator)
            + 0.5 * torch.randn(classes, width, generator=generator)[labels]
        )
        + 1.0
        for scale, width in zip((0.2, 3.0), widths)
    ]
    return torch.cat(members, 1).to(dtype), labels


def train(heads, features, labels, epochs=1, batch=64):
    """Train; returns what the steps returned, float64 [steps, 3, H]."""
    outcomes = []
    for _ in range(epochs):
        for start in range(0, len(labels), batch):
            here = slice(start, start + batch)
            outcomes.append(torch.stack([part.double() for part in heads.train_step(features[here], labels[here], LR)]))
    return torch.stack(outcomes)


def pair(weight_decays=WEIGHT_DECAYS, dim=33, classes=7, **options):
    weight = initial_weight(5, classes, dim, 0.01)
    return StackedHeads(weight, weight_decays, **options), ReferenceHeads(weight, weight_decays, **options)


def assert_close(ours, theirs, rtol):
    """Equal to rtol, of the value or (a logit may be near 0) of the largest one."""
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=rtol * theirs.abs().max().item())


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(
    ("dtype", "epochs", "rtol"), [(torch.float64, 3, 1e-9), (torch.float32, 1, 1e-5), (torch.float32, 3, 1e-4)]
)
def test_equal_to_separate_torch_runs(batch_norm, dtype, epochs, rtol):
    features, labels = data(dtype=dtype)
    stacked, reference = pair(batch_norm=batch_norm, dtype=dtype)
    ours, theirs = (train(heads, features, labels, epochs) for heads in (stacked, reference))
    assert_close(ours[:, 0], theirs[:, 0], rtol)
    assert torch.equal(ours[:, 1:], theirs[:, 1:])  # rows with their label in the top 1, 5
    assert_close(stacked.logits(features), reference.logits(features), rtol)
    for h, model in enumerate(reference.models):
        assert_close(stacked.W[h], model[-1].weight.detach(), rtol)
        assert_close(stacked.b[h], model[-1].bias.detach(), rtol)
        if batch_norm:
            assert_close(stacked.gamma[h], model[0].weight.detach(), rtol)
            assert_close(stacked.beta[h], model[0].bias.detach(), rtol)
            assert_close(stacked.running_mean, model[0].running_mean, rtol)
            assert_close(stacked.running_var, model[0].running_var, rtol)


def test_momentum_is_used():
    features, labels = data(dtype=torch.float64)
    for momentum in (0.5, 0.9):
        stacked, reference = pair(momentum=momentum, dtype=torch.float64)
        for heads in (stacked, reference):
            train(heads, features, labels)
        assert_close(stacked.logits(features), reference.logits(features), 1e-9)


def test_logits_are_of_the_running_statistics_and_change_nothing():
    features, labels = data()
    heads, _ = pair()
    train(heads, features, labels)
    before = heads.running_mean.clone()
    whole, alone = heads.logits(features), heads.logits(features[:1])
    assert whole.shape == (300, 4, 7)
    torch.testing.assert_close(alone, whole[:1])
    assert torch.equal(heads.running_mean, before)


# Sizes at which vectors end in the middle of a register, and few enough rows for MKL's kernel for thin products.
@pytest.mark.parametrize(("classes", "dim", "rows"), [(2, 33, 75), (3, 17, 75), (7, 33, 130), (16, 64, 128)])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_longer_grid_changes_no_bit_of_a_head(classes, dim, rows, batch_norm):
    features, labels = data(rows, (dim - 10, 10), classes)
    outcomes, logits = [], []
    for count in (1, 2, 6):
        heads, _ = pair([1e-4, 5e-2, 1e-3, 1.0, 0.0, 1e-2][:count], dim, classes, batch_norm=batch_norm)
        outcomes.append(train(heads, features, labels, epochs=3)[..., 0])
        logits.append(heads.logits(features)[:, 0])
    for other in (1, 2):
        assert torch.equal(outcomes[0], outcomes[other])
        assert torch.equal(logits[0], logits[other])


def test_a_diverging_head_harms_no_other():
    features, labels = data()
    alone, _ = pair([1e-3, 1e-2])
    beside, _ = pair([1e-3, 1e6, 1e-2])
    for heads in (alone, beside):
        loss = train(heads, features, labels, epochs=3)[:, 0]
    assert not loss[-1, 1].isfinite()
    assert torch.equal(beside.logits(features)[:, [0, 2]], alone.logits(features))


def test_a_tie_counts_against_the_label():
    heads, _ = pair()
    loss, top1, top5 = heads.train_step(torch.zeros(8, 33), torch.zeros(8, dtype=torch.int64), LR)
    assert top1.tolist() == top5.tolist() == [0] * 4
    torch.testing.assert_close(loss, torch.full((4,), 8 * torch.tensor(7.0).log().item()))


def test_initial_weight_is_a_function_of_its_key():
    torch.manual_seed(0)
    first = initial_weight(2**64 - 1, 50, 60, 0.01)
    state = torch.random.get_rng_state()
    assert torch.equal(first, initial_weight(2**64 - 1, 50, 60, 0.01))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(first, initial_weight(2**64 - 3, 50, 60, 0.01))
    assert abs(first.std().item() - 0.01) < 1e-3 and abs(first.mean().item()) < 1e-3


def test_a_grid_needs_a_weight_decay():
    with pytest.raises(ValueError, match="at least one weight decay"):
        StackedHeads(torch.zeros(3, 4), [])
