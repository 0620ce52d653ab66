"""Tests of benchmarks.stacked_heads: the compared heads compute the same, and counts are right. No time is tested."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import stacked_heads

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def small(monkeypatch):
    """Set small sizes, so that a table takes little time."""
    monkeypatch.setattr(stacked_heads, "PEAK_SIZE", 32)
    monkeypatch.setattr(stacked_heads, "MOST_STEPS", 2)


def test_multiply_adds_equal_torchs_count():
    stacked, _, batch, labels = stacked_heads.both_heads(24, 7, 3)
    with FlopCounterMode(display=False) as counter:
        stacked_heads.train(stacked, 1, batch, labels)
    counted = counter.get_flop_counts()["Global"][torch.ops.aten.addmm]  # two operations per multiply-add
    assert counted == 2 * stacked_heads.multiply_adds(3, 7, 24, stacked_heads.BATCH)


def test_both_contenders_train_the_same_heads():
    stacked, separate, batch, labels = stacked_heads.both_heads(24, 7, 3)
    before = stacked.logits(batch)
    for heads in (stacked, separate):
        stacked_heads.train(heads, 5, batch, labels)
    torch.testing.assert_close(stacked.logits(batch), separate.logits(batch), rtol=1e-4, atol=1e-5)
    assert (stacked.logits(batch) - before).abs().max() > 1e-2


def test_the_table_has_a_row_for_each_number_of_heads(small, monkeypatch):
    """The text below the table says whether the target is reached."""
    monkeypatch.setattr(stacked_heads, "TARGET", (16, 5, 2))
    page = "\n".join(stacked_heads.heads_table({(16, 5): 1, (24, 3): 1}, (1, 2)))
    assert re.findall(r"^\| (\d+ x \d+) \| (\d+) \|", page, re.MULTILINE) == [
        ("16 x 5", "1"),
        ("16 x 5", "2"),
        ("24 x 3", "1"),
        ("24 x 3", "2"),
    ]
    assert re.search(r"16 features x 2 weight decays x 5 classes; \*\*\d\.\d\d\*\*, (reached|missed)\.", page)


@pytest.mark.parametrize("weight_decay", [0.001, 0.05])
def test_scikit_learns_objective_equals_that_of_a_head(weight_decay):
    """The gradient of a head's penalised mean cross entropy is close to zero at scikit-learn's solution."""
    pixels, labels, train = stacked_heads.digits()
    x, y = pixels[:train].astype(np.float64), labels[:train]
    model = stacked_heads.fitted(x, y, weight_decay)

    def gradient(decay):
        weight, bias = (torch.tensor(part, requires_grad=True) for part in (model.coef_, model.intercept_))
        loss = functional.cross_entropy(torch.from_numpy(x) @ weight.T + bias, torch.from_numpy(y))
        return torch.autograd.grad(loss + decay / 2 * weight.square().sum(), weight)[0].norm().item()

    assert gradient(weight_decay) < 0.05 * min(gradient(2 * weight_decay), gradient(weight_decay / 2))


def test_the_probe_and_scikit_learn_are_equally_accurate_on_digits():
    pixels, labels, train = stacked_heads.digits()
    data = stacked_heads.data_of(labels, train)
    probe = stacked_heads.probe_accuracy(pixels, data, 0.1, 56)
    best, both = (stacked_heads.logistic_regression_accuracy(pixels, data, both) for both in (False, True))
    assert best == both > 95 and abs(probe - best) < 2


def test_learning_rates_fall_after_the_protocols_fractions_of_epochs():
    assert stacked_heads.milestones(28) == (8, 16, 24)
    assert stacked_heads.milestones(7) == (2, 4, 6)
    assert stacked_heads.milestones(1) == (1,)


def test_generated_features_have_the_given_sizes():
    features, labels, train = stacked_heads.made_features(80, 40, 64, 10, 8)
    assert features.shape == (120, 64) and features.dtype == np.float16 and (features >= 0).all()
    assert set(labels[:train]) == set(range(10))
    page = "\n".join(stacked_heads.scikit_learn_table({"made": ((features, labels, train), 0.01, 2)}))
    assert page.count("\n| made |") == 4
