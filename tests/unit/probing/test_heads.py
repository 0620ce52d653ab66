"""Test stacked heads: they equal separate modules and optimizers, and do not depend on one another."""

import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.references.heads import ReferenceHeads
from workflow_scripts.timecat.probing import heads as heads_module
from workflow_scripts.timecat.probing.heads import StackedHeads, initial_weight

WEIGHT_DECAYS = [1e-4, 5e-3, 5e-2, 0.5]
LR = 0.05


pytestmark = pytest.mark.usefixtures("one_thread")


def data(rows=300, widths=(20, 13), classes=7, dtype=torch.float32):
    """Return features of members of different width and scale, and labels that depend on them."""
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
    """Train the heads and return the results of the steps, float64 [steps, 3, H]."""
    outcomes = []
    for _ in range(epochs):
        for start in range(0, len(labels), batch):
            here = slice(start, start + batch)
            outcomes.append(torch.stack([part.double() for part in heads.train_step(features[here], labels[here], LR)]))
    return torch.stack(outcomes)


PLAIN = {"momentum": 0.9, "batch_norm": True}


def pair(weight_decays=WEIGHT_DECAYS, dim=33, classes=7, **options):
    weight, options = initial_weight(5, classes, dim, 0.01), PLAIN | options
    return StackedHeads(weight, weight_decays, **options), ReferenceHeads(weight, weight_decays, **options)


def assert_close(ours, theirs, rtol):
    """Check that values are equal to rtol, relative to the value or (a logit may be near 0) to the largest value."""
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=rtol * theirs.abs().max().item())


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(
    ("dtype", "epochs", "rtol"), [(torch.float64, 3, 1e-9), (torch.float32, 1, 1e-5), (torch.float32, 3, 1e-4)]
)
def test_stacked_heads_equal_separate_torch_runs(batch_norm, dtype, epochs, rtol):
    features, labels = data(dtype=dtype)
    stacked, reference = pair(batch_norm=batch_norm, dtype=dtype)
    ours, theirs = (train(heads, features, labels, epochs) for heads in (stacked, reference))
    assert_close(ours[:, 0], theirs[:, 0], rtol)
    assert torch.equal(ours[:, 1:], theirs[:, 1:])  # numbers of rows with their label in the top 1 and top 5
    assert_close(stacked.logits(features), reference.logits(features), rtol)
    for h, model in enumerate(reference.models):
        assert_close(stacked.W[h], model[-1].weight.detach(), rtol)
        assert_close(stacked.b[h], model[-1].bias.detach(), rtol)
        if batch_norm:
            assert_close(stacked.gamma[h], model[0].weight.detach(), rtol)
            assert_close(stacked.beta[h], model[0].bias.detach(), rtol)
            assert_close(stacked.running_mean, model[0].running_mean, rtol)
            assert_close(stacked.running_var, model[0].running_var, rtol)


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_heads_in_one_product_equal_separate_torch_runs(batch_norm, classes, monkeypatch):
    """On a GPU, one matrix product serves all heads."""
    monkeypatch.setattr(heads_module, "_one_by_one", lambda device: False)
    features, labels = data(classes=classes, dtype=torch.float64)
    stacked, reference = pair(classes=classes, batch_norm=batch_norm, dtype=torch.float64)
    with Products() as products:
        ours = train(stacked, features[:64], labels[:64])
    assert all(count == 1 for count in products.counts.values())
    theirs = train(reference, features[:64], labels[:64])
    assert_close(ours[:, 0], theirs[:, 0], 1e-9)
    assert_close(stacked.logits(features), reference.logits(features), 1e-9)


def test_momentum_is_used():
    features, labels = data(dtype=torch.float64)
    for momentum in (0.5, 0.9):
        stacked, reference = pair(momentum=momentum, dtype=torch.float64)
        for one in (stacked, reference):
            train(one, features, labels)
        assert_close(stacked.logits(features), reference.logits(features), 1e-9)


def test_logits_use_the_running_statistics():
    """Computing logits does not update the statistics."""
    features, labels = data()
    heads, _ = pair()
    train(heads, features, labels)
    before = heads.running_mean.clone()
    whole, alone = heads.logits(features), heads.logits(features[:1])
    assert whole.shape == (300, 4, 7)
    torch.testing.assert_close(alone, whole[:1])
    assert torch.equal(heads.running_mean, before)


# (classes, dim, rows): vectors that end inside a register, few and many classes, and sizes of embedded studies.
SIZES = [(2, 33, 75), (2, 24, 256), (3, 17, 75), (5, 31, 33), (7, 33, 130), (10, 32, 64), (16, 64, 128), (41, 50, 19)]
GRID = [1e-4, 5e-2, 1e-3, 1.0, 0.0, 1e-2]


@pytest.mark.parametrize(("classes", "dim", "rows"), SIZES)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_bits_of_a_head_do_not_depend_on_the_grid(classes, dim, rows, batch_norm):
    assert_independent(classes, dim, rows, batch_norm)


def assert_independent(classes, dim, rows, batch_norm):
    """Check that every head of a grid gives the same bits as alone, at any position in the grid."""
    features, labels = data(rows, (dim - 10, 10), classes)

    def trained(grid):
        """Return, for each weight decay of a grid, the results of training, the logits and the weights of its head."""
        heads, _ = pair(grid, dim, classes, batch_norm=batch_norm)
        outcomes = train(heads, features, labels, epochs=3)
        tensors = (outcomes.permute(2, 0, 1), heads.logits(features).permute(1, 0, 2), heads.W, heads.b)
        return {decay: [tensor[head].clone() for tensor in tensors] for head, decay in enumerate(grid)}

    alone = {decay: trained([decay])[decay] for decay in GRID}
    for grid in (GRID[1::-1], GRID[::-1]):
        for decay, tensors in trained(grid).items():
            assert all(map(torch.equal, tensors, alone[decay])), (decay, grid)


# Kernels of other CPUs, as far as libraries allow a choice: torch's, and MKL's (which obeys few settings on AMD).
RESTRICTIONS = [
    {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    {"ATEN_CPU_CAPABILITY": "avx512", "MKL_CBWR": "AVX512"},
]


def test_the_bits_of_a_head_do_not_depend_on_the_kernels(root):
    """MKL with COMPATIBLE rounds products of different sizes differently on every CPU."""
    code = (
        "import torch; from tests.unit.probing import test_heads as t; torch.set_num_threads(1)\n"
        "[t.assert_independent(*size, norm) for size in t.SIZES[:5] for norm in (True, False)]"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, env=os.environ | variables, stderr=subprocess.PIPE)
        for variables in RESTRICTIONS
    ]
    errors = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * len(running), errors


class Products(TorchDispatchMode):
    """Counter of matrix products by everything that may decide a library's kernel: shapes, strides and alignment."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(word in function.name() for word in ("mm", "mv", "dot", "linear", "matmul")):
            operands = [part for part in (*args, *(kwargs or {}).values()) if isinstance(part, torch.Tensor)]
            described = [(tuple(x.shape), _strides(x), x.data_ptr() % 64) for x in operands]
            self.counts[function.name(), tuple(described)] += 1
        return function(*args, **(kwargs or {}))


def _strides(tensor) -> tuple:
    """Return a tensor's strides, without those of dimensions of one element, which have no meaning."""
    return tuple(stride for size, stride in zip(tensor.shape, tensor.stride()) if size > 1)


@pytest.mark.parametrize(("classes", "dim", "rows"), SIZES)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_longer_grid_computes_more_products_of_the_same_shapes(classes, dim, rows, batch_norm):
    """No library, on any CPU, can then choose its kernel by the number of weight decays."""
    features, labels = data(rows, (dim - 10, 10), classes)
    counts = []
    for count in (1, 6):
        heads, _ = pair(GRID[:count], dim, classes, batch_norm=batch_norm)
        with Products() as products:
            heads.train_step(features, labels, LR)
            heads.logits(features)
        counts.append(products.counts)
    alone, six = counts
    assert len(alone) >= (4 if batch_norm else 2)
    assert six == Counter({call: 6 * number for call, number in alone.items()})


def test_a_diverging_head_does_not_affect_the_others():
    features, labels = data()
    alone, _ = pair([1e-3, 1e-2])
    beside, _ = pair([1e-3, 1e6, 1e-2])
    for one in (alone, beside):
        loss = train(one, features, labels, epochs=3)[:, 0]
    assert not loss[-1, 1].isfinite()
    assert torch.equal(beside.logits(features)[:, [0, 2]], alone.logits(features))


def test_a_tie_counts_against_the_label():
    heads, _ = pair()
    loss, top1, top5 = heads.train_step(torch.zeros(8, 33), torch.zeros(8, dtype=torch.int64), LR)
    assert top1.tolist() == top5.tolist() == [0] * 4
    torch.testing.assert_close(loss, torch.full((4,), 8 * torch.tensor(7.0).log().item()))


def test_the_initial_weight_is_a_function_of_its_key():
    torch.manual_seed(0)
    first = initial_weight(2**64 - 1, 50, 60, 0.01)
    state = torch.random.get_rng_state()
    assert torch.equal(first, initial_weight(2**64 - 1, 50, 60, 0.01))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(first, initial_weight(2**64 - 3, 50, 60, 0.01))
    assert abs(first.std().item() - 0.01) < 1e-3 and abs(first.mean().item()) < 1e-3


def test_an_empty_grid_of_weight_decays_is_refused():
    with pytest.raises(ValueError, match="at least one weight decay"):
        StackedHeads(torch.zeros(3, 4), [], **PLAIN)
