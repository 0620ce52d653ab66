"""Test options of pretraining: ghost batches, accumulation, initialisation, precision, memory format, compilation.

Each is compared with a plain implementation, and a chain with it must equal an uninterrupted run bit for bit.
"""

import dataclasses
import io
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.support import settings as made
from workflow_scripts.timecat.backbones import build
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.pretraining import recipe, training
from workflow_scripts.timecat.pretraining.compiling import compiled
from workflow_scripts.timecat.pretraining.ghost_batch_norm import set_ghost_batch

SMALL = made.backbone(width=4, blocks=2)
RESNET = made.backbone("resnet18")
DROPOUT = made.backbone("mobilenet_v3_small")  # draws random numbers in training
RECIPE = made.recipe(
    batch_size=16,
    lr=0.01,
    weight_decay=0.005,
    betas=[0.9, 0.999],
    warmup_steps=2,
    label_smoothing=0.1,
    batch_norm_batches=2,
)
TRANSFORM = made.transform(
    size=32, scale=(0.8, 1), ratio=(0.75, 4 / 3), flip=0.5, center_ratio=0.875, mean=[0.4] * 3, std=[0.2] * 3
)
CLASSES = 5


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batch(step: int, rows: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Return synthetic images and labels of a step, equal in every run (image decoding is tested elsewhere)."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    images = torch.randint(256, (rows, 32, 32, 3), generator=generator) // 2 + 20 * labels.view(-1, 1, 1, 1)
    return images.to(torch.uint8), labels


def start(backbone=SMALL, **options) -> tuple[training.Run, recipe.Recipe]:
    """Return (run at step 0, recipe with these options)."""
    chosen = dataclasses.replace(RECIPE, **options)
    return training.start_run(backbone, CLASSES, chosen, 2, "cpu", 32), chosen


def train(run, chosen, stop: int) -> list[float]:
    """Train a run to the step ``stop``, and return the loss of each step."""
    return [training.train_step(run, *batch(step), chosen, TRANSFORM) for step in range(run.step, stop)]


def trained(backbone=SMALL, steps=4, **options) -> tuple[training.Run, list[float]]:
    """Train a network with these options, and return (run, loss of each step)."""
    run, chosen = start(backbone, **options)
    return run, train(run, chosen, steps)


def same(first: nn.Module, second: nn.Module) -> bool:
    """Return whether two networks have equal state dicts."""
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)


# --- a chain equals one run, with every option ---

OPTIONS = {
    "plain": (SMALL, {}),
    "accumulation": (SMALL, {"accumulation": 2}),
    "ghost batches": (SMALL, {"ghost_batch": 4, "accumulation": 2}),
    "initialisation": (SMALL, {"initialisation": "lecun_normal", "zero_gamma": True}),
    "bf16": (SMALL, {"precision": "bf16"}),
    "channels last": (RESNET, {"channels_last": True, "ghost_batch": 8}),
    "dropout": (DROPOUT, {"accumulation": 2}),
}


def assert_chained_equals_uninterrupted(backbone, options):
    whole, losses = trained(backbone, **options)
    chained, chosen = start(backbone, **options)
    chained_losses = train(chained, chosen, 2)
    training.averaged_model(chained, [batch(9)[0]], TRANSFORM)
    torch.manual_seed(99)  # another state of torch's generator, as in another job
    following, _ = start(backbone, **options)
    assert training.load_state(training.state_bytes(chained, "run"), following, "run")
    chained_losses += train(following, chosen, 4)
    assert chained_losses == losses
    assert training.state_bytes(following, "run") == training.state_bytes(whole, "run")
    models = [training.averaged_model(run, [batch(9)[0]], TRANSFORM) for run in (whole, following)]
    assert same(*models)


@pytest.mark.parametrize("name", OPTIONS)
def test_with_each_option_milestones_equal_an_uninterrupted_run(name):
    assert_chained_equals_uninterrupted(*OPTIONS[name])


# --- ghost batches and accumulation ---


@pytest.mark.parametrize("channels_last", [False, True])
def test_ghost_batch_norm_is_batch_norm_of_each_group(channels_last):
    """The reference passes each group through plain batch norm. Outputs, gradients and statistics must be equal."""
    torch.manual_seed(0)
    plain, ghost = (nn.Sequential(nn.BatchNorm2d(3)).double() for _ in range(2))
    for layer in (plain[0], ghost[0]):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([0.5, 1, 2]))
            layer.bias.copy_(torch.tensor([1.0, 0, -1]))
    set_ghost_batch(ghost, 4)
    images = torch.randn(12, 3, 5, 5, dtype=torch.float64)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    weights = torch.randn_like(images)
    ours, theirs = (images.clone().requires_grad_() for _ in range(2))
    output = ghost(ours)
    twin = torch.cat([plain(group) for group in theirs.split(4)])
    (output * weights).sum().backward()
    (twin * weights).sum().backward()
    torch.testing.assert_close(output, twin)
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(ghost[0].weight.grad, plain[0].weight.grad)
    torch.testing.assert_close(ghost[0].bias.grad, plain[0].bias.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ghost.state_dict()[name], value)
    means = images.view(3, 4, 3, 5, 5).mean(dim=(1, 3, 4), keepdim=True)
    assert (output.view(3, 4, 3, 5, 5).mean(dim=(1, 3, 4)) - torch.tensor([1.0, 0, -1])).abs().max() < 1e-9
    assert means.std(dim=0).max() > 0.01  # the groups differ, so the comparison is meaningful
    assert output.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_ghost_batch_norm_refuses_incomplete_groups():
    """In evaluation mode, it equals plain batch norm and accepts any number of images."""
    model = nn.Sequential(nn.BatchNorm2d(3))
    set_ghost_batch(model, 4)
    assert list(model.state_dict()) == list(nn.Sequential(nn.BatchNorm2d(3)).state_dict())
    with pytest.raises(ValueError, match="6 images is not a multiple of the ghost batch of 4"):
        model(torch.randn(6, 3, 2, 2))
    images = torch.randn(6, 3, 2, 2)
    torch.testing.assert_close(model.eval()(images), images, rtol=1e-4, atol=1e-4)


def test_subclasses_of_batch_norm_become_ghost_batch_norms_too():
    """Some of timm's batch norms also apply a ReLU."""

    class Rectifying(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    plain, ghost = nn.Sequential(Rectifying(3)), nn.Sequential(Rectifying(3))
    set_ghost_batch(ghost, 2)
    images = torch.randn(4, 3, 2, 2)
    assert torch.equal(ghost(images), torch.cat([plain(images[:2]), plain(images[2:])]))


@pytest.mark.parametrize("accumulation", [2, 4])
def test_with_ghost_batches_accumulation_changes_rounding_only(accumulation):
    """Loss, gradients and the next steps are equal to the results of the undivided batch."""
    (whole, chosen), (parts, divided) = start(ghost_batch=4), start(ghost_batch=4, accumulation=accumulation)
    losses = [
        training.compute_gradients(run, *batch(0), options, TRANSFORM)
        for run, options in ((whole, chosen), (parts, divided))
    ]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-6)
    assert_close_gradients(parts.model, whole.model)
    assert train(parts, divided, 4) == pytest.approx(train(whole, chosen, 4), rel=1e-3)


def assert_close_gradients(ours: nn.Module, theirs: nn.Module):
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_without_ghost_batches_statistics_are_over_one_part():
    (ghost, _), (part, _) = trained(ghost_batch=8), trained(accumulation=2)
    for one, other in zip(ghost.model.parameters(), part.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    (whole, _) = trained()
    assert (whole.model.fc.weight - part.model.fc.weight).abs().max() > 1e-3


def test_ghost_batches_give_the_gradients_of_separate_devices():
    """The option imitates devices that each have a group of images, local batch norm, and averaged gradients."""
    run, chosen = start(ghost_batch=4)
    twin, _ = start()
    images, labels = batch(0)
    for group in range(4):
        rows = slice(4 * group, 4 * group + 4)
        logits = twin.model(training.normalise(images[rows], TRANSFORM))
        (functional.cross_entropy(logits, labels[rows], label_smoothing=0.1) / 4).backward()
    training.compute_gradients(run, images, labels, chosen, TRANSFORM)
    assert_close_gradients(run.model, twin.model)


def test_statistics_at_a_milestone_are_over_ghost_batches():
    run, _ = trained(ghost_batch=4)
    images = batch(9)[0]
    model = training.averaged_model(run, [images], TRANSFORM)
    twin = build.Classifier(build.build_backbone(SMALL), CLASSES)
    twin.load_state_dict(model.state_dict())
    training.recompute_batch_norm(twin, images.split(4), TRANSFORM)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)
    training.recompute_batch_norm(twin, [images], TRANSFORM)
    assert not torch.equal(twin.backbone.stem[1].running_var, model.backbone.stem[1].running_var)


def test_recomputing_statistics_does_not_draw_random_numbers():
    """Stochastic depth, which EfficientNets have before batch norms, is switched off, as in inference."""
    run, _ = start(made.backbone("efficientnet_b0"))
    first = training.averaged_model(run, [batch(9)[0]], TRANSFORM)
    torch.manual_seed(1)
    assert same(first, training.averaged_model(run, [batch(9)[0]], TRANSFORM))


def test_sizes_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(UserError, match="pretrain.accumulation 3 does not divide batch_size 16"):
        dataclasses.replace(RECIPE, accumulation=3)
    with pytest.raises(UserError, match="pretrain.ghost_batch 8 does not divide the 4 images"):
        dataclasses.replace(RECIPE, accumulation=4, ghost_batch=8)


# --- initialisation ---


@pytest.mark.parametrize(
    "backbone", [SMALL, RESNET, made.backbone("resnet50")], ids=lambda settings: settings.architecture
)
def test_zero_gamma_makes_each_block_its_shortcut(backbone):
    run, _ = start(backbone, zero_gamma=True)
    zero = [
        name for name, value in run.model.named_parameters() if value.ndim == 1 and not value.any() and "weight" in name
    ]
    last = "bn3" if backbone.architecture == "resnet50" else "bn2"
    blocks = [name for name, module in run.model.named_modules() if hasattr(module, "conv2")]
    assert zero == [f"{block}.{last}.weight" for block in blocks] and blocks
    block = run.model.get_submodule(blocks[-1]).eval()
    images = torch.randn(2, next(block.parameters()).shape[1], 4, 4)
    shortcut = getattr(block, "downsample", None) or getattr(block, "shortcut", nn.Identity())
    torch.testing.assert_close(block(images), shortcut(images).relu())


def test_zero_gamma_of_a_network_without_residual_branches_is_refused():
    with pytest.raises(UserError, match="pretrain.zero_gamma: this backbone has no residual branch"):
        start(made.backbone("squeezenet1_1"), zero_gamma=True)


def test_lecun_normal_has_variance_one_over_fan_in():
    """The distribution is truncated at two standard deviations."""
    run, _ = start(made.backbone("resnext50_32x4d"), initialisation="lecun_normal")
    weights = {name: layer.weight for name, layer in run.model.named_modules() if isinstance(layer, nn.Conv2d)}
    for name in ("backbone.conv1", "backbone.layer4.2.conv1", "backbone.layer4.2.conv2"):  # the last has 32 groups
        weight = weights[name]
        fan_in = weight.shape[1:].numel()
        assert weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.02)
        assert weight.abs().max().item() <= 2 * fan_in**-0.5 / 0.8796
        assert weight.abs().max().item() > 1.9 * fan_in**-0.5 / 0.8796
    assert run.model.fc.weight.std().item() == pytest.approx(0.01, rel=0.05) and not run.model.fc.bias.any()


def test_the_initial_weights_depend_on_the_seed():
    (first, _), (second, _) = (start(initialisation="lecun_normal") for _ in range(2))
    assert same(first.model, second.model)
    other = training.start_run(SMALL, CLASSES, dataclasses.replace(RECIPE, initialisation="lecun_normal"), 3, "cpu")
    assert not torch.equal(first.model.fc.weight, other.model.fc.weight)


# --- precision, memory format, compilation ---


def test_bf16_affects_the_forward_pass_only():
    run, chosen = start(precision="bf16")
    seen = []
    run.model.backbone.stem[0].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    losses = train(run, chosen, 3)
    assert set(seen) == {torch.bfloat16}
    state = torch.load(io.BytesIO(training.state_bytes(run, "run")), weights_only=True)
    kept = [*state["model"].values(), *(v for group in state["optimizer"]["state"].values() for v in group.values())]
    assert {value.dtype for value in kept if torch.is_tensor(value) and value.is_floating_point()} == {torch.float32}
    assert all(parameter.grad.dtype == torch.float32 for parameter in run.model.parameters())
    seen.clear()
    model = training.averaged_model(run, [batch(9)[0]], TRANSFORM)
    training.accuracy(model, [(None, *batch(9))], TRANSFORM)
    assert set(seen) == {torch.float32}
    _, exact = trained(steps=3)
    assert losses == pytest.approx(exact, rel=0.03) and losses != exact


def test_channels_last_changes_only_memory_format_and_rounding():
    run, losses = trained(RESNET, steps=2, channels_last=True)
    weight = run.model.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    seen = []
    run.model.backbone.layer3.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    run.model(torch.randn(2, 3, 64, 64))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    _, plain = trained(RESNET, steps=2)
    assert losses == pytest.approx(plain, rel=1e-3)


def test_a_missing_triton_is_reported():
    """torch raises different errors for a missing Triton and for the failure of a backend."""

    def backend(graph, inputs):
        raise torch._inductor.exc.TritonMissing(None)

    layer = compiled(torch.nn.Linear(2, 2), backend)
    with pytest.raises(UserError, match="pretrain.compile: torch cannot compile on this machine.*Triton"):
        layer(torch.ones(1, 2))


def test_compilation_affects_training_only(root, tmp_path):
    """Compile in a separate process, first with a missing compiler and then with the installed one."""
    code = f"""
import torch
from torch._inductor import config
from tests.unit.pretraining import test_recipe_options as tests
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.runtime import torch_settings
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.pretraining.compiling import compiled

torch_settings.configure(1, "cpu", compiles=True)
assert not hasattr(torch.optim.Optimizer.zero_grad.__wrapped__, "__dynamo_disable")
tiny = tests.made.backbone(width=2, blocks=1)
present, config.cpp.cxx = config.cpp.cxx, (None, {str(tmp_path / "absent")!r})
try:
    tests.trained(tiny, steps=1, compile=True)
except UserError as error:
    print(error)
config.cpp.cxx = present
torch._dynamo.reset()
tests.assert_chained_equals_uninterrupted(tiny, {{"compile": True}})
run, losses = tests.trained(tiny, compile=True)
eager, eager_losses = tests.trained(tiny)
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] and losses != eager_losses
assert max(abs(a - b) for a, b in zip(losses, eager_losses)) < 1e-4
assert list(run.model.state_dict()) == list(eager.model.state_dict())
compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
model = training.averaged_model(run, [tests.batch(9)[0]], tests.TRANSFORM)
training.accuracy(model, [(None, *tests.batch(9))], tests.TRANSFORM)
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled and type(model) is type(eager.model)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (
        "pretrain.compile: torch cannot compile on this machine" in done.stdout
        and "install a C++ compiler" in done.stdout
    )
