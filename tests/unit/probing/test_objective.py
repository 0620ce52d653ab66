"""Test the relative gradient of heads: it equals torch's gradient of plain modules and does not change the heads."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.references.heads import ReferenceHeads
from workflow_scripts.timecat.probing.heads import StackedHeads
from workflow_scripts.timecat.probing.objective import heads_of, relative_gradients

CLASSES, DIMENSION = 5, 7
GRID = (1e-3, 0.1)

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(number=83, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 + torch.randn(number, DIMENSION, generator=generator), torch.randint(
        CLASSES, (number,), generator=generator
    )


def trained(kind, batch_norm, steps=6):
    """Return stacked heads of a kind after some training steps."""
    weight = 0.1 * torch.randn(CLASSES, DIMENSION, generator=torch.Generator().manual_seed(1))
    heads = kind(weight, GRID, momentum=0.9, batch_norm=batch_norm)
    for step in range(steps):
        heads.train_step(*rows(seed=step), 0.3)
    return heads


def length(model, objective):
    parameters = list(model.parameters())
    return math.sqrt(sum(float(part.square().sum()) for part in torch.autograd.grad(objective, parameters)))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_relative_gradient_equals_torchs_gradient_of_the_sgd_objective(batch_norm):
    heads, twin = (trained(kind, batch_norm) for kind in (StackedHeads, ReferenceHeads))
    x, y = rows(seed=9)
    found = relative_gradients(heads_of(heads), GRID, [(x[:50], y[:50]), (x[50:], y[50:])], by_sgd=True)
    for model, decay, one in zip(twin.models, GRID, found):
        model = model.double().eval()
        linear = model[-1]
        penalty = decay / 2 * (linear.weight.square().sum() + linear.bias.square().sum())
        own = length(model, F.cross_entropy(model(x.double()), y) + penalty)
        with torch.no_grad():
            linear.weight.zero_(), linear.bias.zero_()
            if batch_norm:
                model[0].weight.fill_(1), model[0].bias.zero_()
        assert one == pytest.approx(own / length(model, F.cross_entropy(model(x.double()), y)), rel=1e-4)


def test_the_lbfgs_objective_penalises_only_weights():
    """There are no affine parameters: γ = 1 and β = 0 are fixed."""
    heads = trained(StackedHeads, batch_norm=True)
    heads.gamma.fill_(1)
    heads.beta.zero_()
    x, y = rows(seed=9)
    found = relative_gradients(heads_of(heads), GRID, [(x, y)], by_sgd=False)
    x_hat = ((x - heads.running_mean) / (heads.running_var + 1e-5).sqrt()).double()
    for head, decay in enumerate(GRID):
        lengths = []
        for share in (1, 0):  # at the head, and at zero weights
            W, b = (share * part[head].double().requires_grad_() for part in (heads.W, heads.b))
            objective = F.cross_entropy(x_hat @ W.T + b, y) + decay / 2 * W.square().sum()
            lengths.append(math.hypot(*(float(part.norm()) for part in torch.autograd.grad(objective, (W, b)))))
        assert found[head] == pytest.approx(lengths[0] / lengths[1], rel=1e-4)


def test_measuring_the_gradient_does_not_change_further_training():
    measured, other = (trained(StackedHeads, batch_norm=True) for _ in range(2))
    relative_gradients(heads_of(measured), GRID, [rows(seed=9)], by_sgd=True)
    for heads in (measured, other):
        heads.train_step(*rows(seed=10), 0.3)
    x, _ = rows(seed=11)
    assert torch.equal(measured.logits(x), other.logits(x))


def test_the_relative_gradient_falls_to_zero_at_a_minimum():
    torch.manual_seed(0)
    x, y = rows()
    heads = StackedHeads(torch.zeros(CLASSES, DIMENSION), [0.1], momentum=0.0, batch_norm=False)
    x -= x.mean(0)
    found = []
    for _ in range(300):
        heads.train_step(x, y, 0.5)
        found.append(float(relative_gradients(heads_of(heads), [0.1], [(x, y)], by_sgd=True)[0]))
    assert found[0] > 0.1 and found[-1] < 1e-4
