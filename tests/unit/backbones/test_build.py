"""Test the small residual network: values and gradients of its shortcuts, on every CPU."""

import subprocess
import sys

import pytest
import torch

from tests.support.settings import backbone
from tests.support.studies import ROOT
from workflow_scripts.timecat.backbones.build import SmallResidual, StridedPointwise, build_backbone

# Run in a separate process: if oneDNN writes past a buffer, the process crashes or the gradient is wrong.
TRAINS = """
import torch
from workflow_scripts.timecat.backbones.build import SmallResidual
torch.set_num_threads(1)
torch.manual_seed(0)
for width in (1, 2, 3, 4, 6, 8, 12):
    images, model = torch.rand(64, 3, 28, 28), SmallResidual(width, 1)
    for _ in range(20):
        model(images).square().sum().backward()
        held = [torch.empty(size) for size in range(1, 200, 3)]
    layer = model.blocks[0].shortcut[0]
    maps = torch.rand(64, width, 28, 28).contiguous(memory_format=torch.channels_last)
    layer.zero_grad()
    layer(maps).square().sum().backward()
    exact = torch.nn.functional.conv2d(maps.double(), layer.weight.double(), stride=2)
    expected = torch.einsum("noij,ncij->oc", 2 * exact, maps[:, :, ::2, ::2].double())
    assert torch.allclose(layer.weight.grad[:, :, 0, 0].double(), expected, rtol=1e-4), width
print("trained")
"""


@pytest.mark.parametrize(
    "width_in, width_out, stride, side", [(4, 8, 2, 14), (8, 8, 2, 7), (3, 5, 3, 10), (2, 4, 1, 6)]
)
def test_a_strided_pointwise_convolution_equals_torchs(width_in, width_out, stride, side):
    torch.manual_seed(0)
    ours = StridedPointwise(width_in, width_out, stride).double()
    library = torch.nn.Conv2d(width_in, width_out, 1, stride, bias=False).double()
    library.load_state_dict(ours.state_dict())
    images = torch.rand(5, width_in, side, side, dtype=torch.float64)
    results = []
    for layer in (ours, library):
        x = images.clone().requires_grad_()
        y = layer(x)
        y.square().sum().backward()
        results.append((y, x.grad, layer.weight.grad))
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_small_network_has_no_strided_pointwise_convolution():
    layers = [layer for layer in SmallResidual(4, 3).modules() if isinstance(layer, torch.nn.Conv2d)]
    assert sum(isinstance(layer, StridedPointwise) for layer in layers) == 3
    assert all(layer.stride == (1, 1) for layer in layers if layer.kernel_size == (1, 1))


def test_last_width_changes_only_the_last_layer():
    """A last_width equal to the default gives the default network: the same parameters, drawn in the same order."""
    made = []
    for last in (None, 16, 40):
        torch.manual_seed(0)
        made.append(SmallResidual(4, 3, last))
    usual, same, wider = (model.state_dict() for model in made)
    assert usual.keys() == same.keys() == wider.keys()
    assert all(torch.equal(usual[name], same[name]) for name in usual)
    other = {name for name in usual if usual[name].shape != wider[name].shape}
    assert all(name.startswith(("blocks.2.conv2", "blocks.2.bn2", "blocks.2.shortcut")) for name in other)
    assert wider["blocks.2.conv1.weight"].shape[0] == 16 and made[2].dimension == 40
    assert made[2](torch.rand(2, 3, 32, 32)).shape == (2, 40)
    settings = backbone(width=4, blocks=3, last_width=40)
    assert build_backbone(settings).dimension == 40


def test_narrow_networks_train_without_a_crash():
    done = subprocess.run([sys.executable, "-c", TRAINS], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "trained\n", f"status {done.returncode}: {done.stderr[-2000:]}"


def test_the_gradient_of_a_shortcut_is_in_channels_last_format():
    """In a different format the backward pass would be slow, which no other test would show."""
    layer, found = StridedPointwise(8, 16, 2), []
    maps = torch.rand(4, 8, 14, 14).contiguous(memory_format=torch.channels_last).requires_grad_()
    passed_on = maps * 1
    passed_on.register_hook(lambda gradient: found.append(gradient.is_contiguous(memory_format=torch.channels_last)))
    layer.to(memory_format=torch.channels_last)(passed_on).sum().backward()
    assert found == [True]
