"""Test library backbones: features are the classifier's input, dimensions are found, there are no downloads."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from workflow_scripts.timecat.backbones import build as backbones
from workflow_scripts.timecat.backbones import library
from workflow_scripts.timecat.backbones.settings import LibrarySettings
from workflow_scripts.timecat.checkpoints import files
from workflow_scripts.timecat.errors import UserError

# A small model of each family -> an image size that it accepts. RegNets cannot be built on the meta device.
FAMILIES = {
    **{
        "resnet18": 32,
        "resnet50": 32,
        "vit_b_32": 64,
        "convnext_tiny": 32,
        "swin_t": 32,
        "maxvit_t": 224,
        "vgg11_bn": 32,
    },
    **{"mobilenet_v3_small": 32, "efficientnet_b0": 32, "densenet121": 32, "squeezenet1_1": 32, "alexnet": 64},
    **{"googlenet": 32, "inception_v3": 75, "mnasnet0_5": 32, "shufflenet_v2_x0_5": 32},
}
COMPUTED = ("resnet18", "regnet_y_400mf", "squeezenet1_1", "mobilenet_v3_small")


def build(name: str, size: int | None = None, width: int = 1) -> nn.Module:
    return backbones.build_backbone(LibrarySettings(architecture=name, width=width), size)


def library_model(name: str, size: int) -> nn.Module:
    """Return the library's model with its classifier, in evaluation mode."""
    from torchvision.models import get_model

    options = {
        "vit_b_32": {"image_size": size},
        "googlenet": {"init_weights": True},
        "inception_v3": {"init_weights": True},
    }
    return get_model(name, weights=None, **options.get(name, {})).eval()


def input_of_the_classifier(whole: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the input of a model's last layer. In SqueezeNet, this is the pooled input of a convolution."""
    last = [layer for layer in whole.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    seen = []
    last.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        whole(images)
    return seen[0] if seen[0].ndim == 2 else seen[0].relu().mean(dim=(2, 3))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_dimension_is_the_size_of_the_classifiers_input(name):
    size = FAMILIES[name]
    with torch.device("meta"):
        images = torch.zeros(2, 3, size, size)
        backbone = build(name, size).eval()
        wanted = input_of_the_classifier(library_model(name, size), images)
        assert backbone(images).shape == wanted.shape == (2, backbone.dimension)


@pytest.mark.parametrize("name", COMPUTED)
def test_features_are_the_classifiers_input(name):
    backbone = build(name, 32).eval()
    whole = library_model(name, 32)
    assert not whole.load_state_dict(backbone.state_dict(), strict=False).unexpected_keys
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), input_of_the_classifier(whole, images))


def test_resnet_features_are_the_output_of_average_pooling():
    backbone = build("resnet18", 32).eval()
    seen = []
    backbone.avgpool.register_forward_hook(lambda layer, inputs, output: seen.append(output.flatten(1)))
    with torch.no_grad():
        features = backbone(torch.randn(2, 3, 32, 32))
    assert torch.equal(features, seen[0]) and not [name for name in backbone.state_dict() if name.startswith("fc")]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_width_2_doubles_all_channels():
    """The paper's 23.5 and 93.9 million parameters exclude the classifier (with 1,000 classes: 25.6 and 98.0)."""
    with torch.device("meta"):
        narrow, wide = (build("resnet50", 32, width=width) for width in (1, 2))
    assert (narrow.dimension, wide.dimension) == (2048, 4096)
    assert round(parameters(narrow) / 1e6, 1) == 23.5 and round(parameters(wide) / 1e6, 1) == 93.9
    for one, other in zip(narrow.modules(), wide.modules(), strict=True):
        if isinstance(one, nn.Conv2d):
            assert other.out_channels == 2 * one.out_channels
            assert other.in_channels == (3 if one.in_channels == 3 else 2 * one.in_channels)
            assert (other.stride, other.padding, other.kernel_size) == (one.stride, one.padding, one.kernel_size)
        if isinstance(one, nn.BatchNorm2d):
            assert other.num_features == 2 * one.num_features


def test_a_wide_resnet_is_initialised_as_torchvision_does():
    torch.manual_seed(0)
    wide = build("resnet18", 32, width=4)
    assert wide.dimension == 2048 and all(value.device.type == "cpu" for value in wide.state_dict().values())
    weight = wide.layer3[0].conv1.weight  # [1024, 512, 3, 3]: He's normal by fan-out
    assert weight.std().item() == pytest.approx((2 / (1024 * 9)) ** 0.5, rel=0.01)
    assert wide(torch.randn(2, 3, 32, 32)).shape == (2, 2048)


def test_the_same_seed_gives_the_same_initial_network():
    def drawn():
        torch.manual_seed(3)
        return build("resnet18", 32)

    first, second = drawn(), drawn()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.training


def test_an_image_size_that_the_architecture_cannot_read_is_refused():
    with pytest.raises(
        UserError, match="backbone vit_b_32 cannot be built for images of 40 px .*patch.*transform.size"
    ):
        build("vit_b_32", 40)
    with pytest.raises(UserError, match="backbone inception_v3 cannot be built for images of 32 px"):
        build("inception_v3", 32)


def test_the_weights_file_of_a_transformer_has_its_image_size(tmp_path):
    """The network cannot be rebuilt without the image size; images of another size are refused."""
    settings = LibrarySettings(architecture="vit_b_32", width=1)
    with torch.device("meta"):
        assert build("vit_b_32").image_size == library.DEFAULT_SIZE
    model = backbones.Classifier(backbones.build_backbone(settings, 64), 3).eval()
    files.write_weights(tmp_path / "w", model, {"backbone": settings, "image_size": 64})
    backbone, _ = files.read_backbone(tmp_path / "w")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(images), model.backbone(images))
    with pytest.raises(
        UserError, match="vit_b_32 was built for images of 64 px and got one of 96 px: set transform.size"
    ):
        backbone(torch.randn(1, 3, 96, 96))


def test_a_name_outside_torchvision_is_refused_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as if timm were not installed
    with pytest.raises(
        UserError, match="vit_tiny_patch16_224 is not an architecture of torchvision, and timm is not installed"
    ):
        build("vit_tiny_patch16_224")


def test_the_stage_refuses_a_width_except_for_resnets():
    with pytest.raises(UserError, match="backbone vit_b_16: width 2 is for ResNets"):
        build("vit_b_16", width=2)


def test_nothing_is_downloaded(monkeypatch):
    """Even the largest models of torchvision are built without a download."""
    from torch import hub

    def refuse(*args, **kwargs):
        raise AssertionError("a download")

    monkeypatch.setattr(hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with torch.device("meta"):
        for name in ("resnet152", "vit_h_14", "convnext_large", "efficientnet_b7"):
            assert not any("classifier.weight" in key or key.startswith("fc.") for key in build(name).state_dict())


def test_the_embedded_study_does_not_import_torchvision(root):
    """Importing torchvision would take every stage more than a second."""
    code = (
        "import sys\n"
        "from workflow_scripts.timecat.checkpoints import files\n"
        "from workflow_scripts.timecat.pretraining import training\n"
        "from workflow_scripts.timecat.backbones.build import build_backbone\n"
        "from workflow_scripts.timecat.backbones.settings import SmallResidualSettings\n"
        "build_backbone(SmallResidualSettings(architecture='small_residual', width=4, blocks=2))\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
