"""Test that names of library backbones are checked without torch, with suggestions for wrong names."""

import subprocess
import sys

import pytest
import yaml

from tests.unit.config.test_model import STUDY
from workflow_scripts.timecat.backbones import catalogue
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError


def test_the_catalogue_lists_all_models_of_torchvision():
    from torchvision import models

    assert sorted(catalogue.TORCHVISION) == models.list_models(module=models)
    assert len(set(catalogue.TORCHVISION)) == len(catalogue.TORCHVISION)


def test_the_catalogue_lists_all_resnets_of_torchvision():
    import torch
    from torchvision import models

    with torch.device("meta"):
        for name in ("resnet34", "resnext50_32x4d", "wide_resnet50_2"):  # one of each family
            assert isinstance(models.get_model(name), models.resnet.ResNet)
    prefixes = ("resnet", "resnext", "wide_resnet")
    assert {name for name in models.list_models(module=models) if name.startswith(prefixes)} == set(catalogue.RESNETS)


def message(architecture: str, pretrain: str = "{seeds: [1, 2, 3, 4, 5]}", size: int | None = None) -> str:
    """Return the error message of STUDY with these settings, or "" if the config accepts them."""
    values = yaml.safe_load(STUDY)
    values["backbones"]["small"] = yaml.safe_load(architecture)
    values["pretrain"] = yaml.safe_load(pretrain)
    for data_set in values["data_sets"].values():
        data_set["transform"] = {"size": 32}
    if size:
        values["data_sets"]["digits"]["transform"]["size"] = size
    try:
        read_config(values, [])
    except UserError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def test_a_library_backbone_is_accepted():
    assert message("{architecture: resnet50, width: 2}") == ""
    assert message("{architecture: vit_b_16}") == ""


@pytest.fixture
def without_timm(monkeypatch):
    monkeypatch.setattr(catalogue, "_timm_names", lambda: None)


def test_an_unknown_architecture_is_refused_with_similar_names(without_timm):
    assert message("{architecture: resnet5}") == (
        "config: `backbones.small.architecture`: 'resnet5' is not an architecture of torchvision, and timm, which has more, "
        "is not installed; similar names: resnet50, resnet152, resnet34."
    )
    assert "similar names: small_residual" in message("{architecture: small_residua}")
    assert "see docs/reference/configuration.md for examples" in message("{architecture: xyzzy}")


def test_timms_names_are_read_from_its_source(tmp_path):
    """timm is not imported. The test writes a fake package with modules in timm's form."""
    models = tmp_path / "timm/models"
    models.mkdir(parents=True)
    (tmp_path / "timm/__init__.py").write_text("raise ImportError('not to be imported')\n")
    (models / "vision_transformer.py").write_text("@register_model\ndef vit_tiny(pretrained=False):\n    pass\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from workflow_scripts.timecat.backbones.catalogue import mistake_in_name\n"
        "print(mistake_in_name('vit_tiny'), mistake_in_name('vit_tinny'))\n"
        "assert 'timm' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "None 'vit_tinny' is not an architecture of torchvision or timm; similar names: vit_tiny"
    )


def test_width_is_refused_unless_the_architecture_is_a_resnet():
    assert message("{architecture: vit_b_16, width: 2}") == (
        "config: `backbones.small.width`: 2 is for ResNets; vit_b_16 has a fixed width, so remove the key."
    )


def test_zero_gamma_is_refused_unless_the_architecture_is_a_resnet():
    recipe = "{seeds: [1, 2, 3, 4, 5], zero_gamma: true}"
    assert message("{architecture: resnet18}", recipe) == message("{architecture: small_residual}", recipe) == ""
    assert message("{architecture: convnext_tiny}", recipe) == (
        "config: `pretrain.zero_gamma`: it is for ResNets, and convnext_tiny is not one; remove the key."
    )


def test_a_vision_transformer_accepts_one_image_size_only():
    assert message("{architecture: resnet18}", size=64) == ""
    assert message("{architecture: vit_b_16}", size=64) == (
        "config: `data_sets.digits.transform.size`: it is 64, but vit_b_16 accepts one image size only, and images of "
        "cues have 32 px; set it to 32."
    )
