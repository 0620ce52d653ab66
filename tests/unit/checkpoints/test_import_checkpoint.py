"""Test that the stage `import_checkpoint` writes weights as pretraining does, or refuses the file."""

import hashlib
import json
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.support import settings as made
from workflow_scripts.timecat.artifacts.digests import file_sha256, plain
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, write_sidecar
from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.checkpoints.files import read_backbone, read_description, write_weights
from workflow_scripts.timecat.checkpoints.importing import import_checkpoint
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.errors import UserError

BACKBONE = made.backbone(width=4, blocks=2)
CLASSES = 16


@pytest.fixture(scope="module")
def model():
    """Classifier in evaluation mode whose batch-norm statistics differ from the initial statistics."""
    torch.manual_seed(5)
    model = Classifier(build_backbone(BACKBONE), CLASSES)
    model.train()
    model(torch.randn(8, 3, 8, 8))
    return model.eval()


@pytest.fixture
def imported(tmp_path):
    """Function that runs the stage on a file; its arguments change the stage's options and the publication."""

    def run(path, step=80, member=None, local_sha256="", **others):
        arguments = SimpleNamespace(
            **{
                "source": "cues",
                "seed": 2,
                "step": step,
                "backbone": BACKBONE,
                "image_size": 28,
                "publication": Publication(
                    member=member,
                    local_sha256=local_sha256 if local_sha256 is None else file_sha256(path),
                    ignored=("fc.weight", "fc.bias"),
                ),
                "sha256": "",
                "member_sha256": "",
                "step_tolerance": 0,
                "published": path,
                "weights": tmp_path / "results" / f"step{step}.safetensors",
            }
            | others
        )
        arguments.weights.parent.mkdir(exist_ok=True)
        try:
            import_checkpoint(arguments)
        finally:
            kept = sorted(file.name for file in arguments.weights.parent.iterdir())
            names = [arguments.weights.name, f"{arguments.weights.name}.json"]
            assert kept in ([], names), "the outputs are complete or absent, and no temporary file is left"
        return arguments.weights

    return run


def refusal(run, *arguments, **settings) -> str:
    with pytest.raises(UserError) as error:
        run(*arguments, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_same_backbone(path, model):
    backbone, _ = read_backbone(path)
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(backbone(images), model.backbone(images))
    assert not backbone.training


def algoperf(model, path, step):
    params = {f"_orig_mod.module.{key.removeprefix('backbone.')}": value for key, value in model.state_dict().items()}
    torch.save({"model_params": params, "optimizer_state": {}, "global_step": step}, path)
    return path


def test_an_imported_file_equals_what_pretraining_writes(model, tmp_path, imported, capfd):
    weights = imported(algoperf(model, tmp_path / "run0.pth", 80))
    assert_same_backbone(weights, model)
    digest = hashlib.sha256((tmp_path / "run0.pth").read_bytes()).hexdigest()
    description, sidecar = read_description(weights), read_sidecar(weights)
    assert description == {
        "backbone": plain(BACKBONE),
        "source": "cues",
        "seed": 2,
        "step": 80,
        "image_size": 28,
        "classes": CLASSES,
        "config": sidecar["config"],
        "imported_from": {
            "file": "run0.pth",
            "sha256": digest,
            "container": "torch",
            "wrapper": "model_params",
            "prefix": "_orig_mod.module.",
            "stated": {"global_step": 80},
        },
    }
    assert sidecar["inputs"] == {"published": digest}
    # Pretraining's file has the same tensors, so features depend on the same digest.
    assert sidecar["content"] == write_weights(tmp_path / "own", model, {})
    log = capfd.readouterr().err
    assert "7 convolutions, 7 batch norms, classifier of 16 classes; keys left out: nothing" in log


def test_the_output_does_not_depend_on_the_path_of_the_published_file(model, tmp_path, imported):
    first = imported(algoperf(model, tmp_path / "run0.pth", 80)).read_bytes()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run0.pth").rename(tmp_path / "elsewhere/run0.pth")
    assert imported(tmp_path / "elsewhere/run0.pth").read_bytes() == first


def test_this_projects_weights_can_be_imported(model, tmp_path, imported):
    write_weights(tmp_path / "step80.safetensors", model, {"backbone": BACKBONE, "seed": 2, "step": 80})
    weights = imported(tmp_path / "step80.safetensors")
    assert_same_backbone(weights, model)
    assert read_description(weights)["imported_from"]["wrapper"] == "timecat"


def test_a_file_without_a_classifier_can_be_imported(model, tmp_path, imported, capfd):
    torch.save(model.backbone.state_dict(), tmp_path / "w")
    weights = imported(tmp_path / "w")
    assert_same_backbone(weights, model)
    assert "classes" not in read_description(weights)
    assert "no classifier; keys left out: nothing" in capfd.readouterr().err


def test_a_file_that_states_another_step_is_refused(model, tmp_path, imported):
    message = refusal(imported, algoperf(model, tmp_path / "w", 80000), step=80)
    assert "states global_step 80000, but the config takes it for step 80;" in message
    assert imported(algoperf(model, tmp_path / "w", 83), step_tolerance=3).exists()
    assert "states global_step 76" in refusal(imported, algoperf(model, tmp_path / "w", 76), step_tolerance=3)


def test_a_file_that_states_a_different_step_or_seed_is_refused(model, tmp_path, imported):
    write_weights(tmp_path / "w", model, {"backbone": BACKBONE, "seed": 550, "step": 80})
    assert "states step 80, but the config takes it for step 81" in refusal(imported, tmp_path / "w", seed=550, step=81)
    assert "states seed 550, but the config takes it for seed 2" in refusal(imported, tmp_path / "w")


def test_weights_with_an_invalid_description_are_refused(model, tmp_path):
    write_weights(tmp_path / "w", model, {"backbone": plain(BACKBONE) | {"width": "4"}})
    with pytest.raises(
        UserError, match="w: its description of the backbone is invalid .`width` is '4': .*pretrain or import"
    ):
        read_backbone(tmp_path / "w")


def test_weights_of_another_backbone_are_refused(model, tmp_path, imported):
    torch.save(model.state_dict(), tmp_path / "w")
    message = refusal(imported, tmp_path / "w", backbone=replace(BACKBONE, blocks=3))
    assert (
        f"{tmp_path / 'w'} does not fit the backbone" in message and "missing keys are blocks.2.conv1.weight" in message
    )
    assert "must have [8, 3, 3, 3]" in refusal(imported, tmp_path / "w", backbone=replace(BACKBONE, width=8))


def test_a_file_with_the_expected_sha256_is_imported(model, tmp_path, imported):
    path = algoperf(model, tmp_path / "w", 80)
    assert imported(path, sha256=file_sha256(path)).exists()


def test_a_file_with_a_wrong_sha256_is_refused(model, tmp_path, imported):
    path = algoperf(model, tmp_path / "w", 80)
    message = refusal(imported, path, sha256="0" * 64)
    assert f"{path} has the SHA-256 {file_sha256(path)}, but `checkpoints.sha256` sets {'0' * 64}" in message


@pytest.fixture
def archive(model, tmp_path):
    algoperf(model, tmp_path / "w", 80)
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "w", "release/run0.pth")
        tar.add(__file__, "release/run1.pth")
    return tmp_path / "release.tar.gz"


def test_a_checkpoint_in_an_archive_can_be_imported(model, tmp_path, imported, archive):
    member = file_sha256(tmp_path / "w")
    weights = imported(archive, member="run0.pth", member_sha256=member)
    assert_same_backbone(weights, model)
    origin = read_description(weights)["imported_from"]
    assert (origin["file"], origin["sha256"]) == ("run0.pth", member)


def test_errors_about_a_member_name_the_archive_and_the_member(imported, archive):
    assert f"{archive}, member release/run1.pth is neither" in refusal(imported, archive, member="run1.pth")
    message = refusal(imported, archive, member="run0.pth", member_sha256="0" * 64)
    assert f"{archive}, member release/run0.pth has the SHA-256" in message


def test_a_download_is_identified_by_its_sidecar(model, tmp_path, imported):
    path = algoperf(model, tmp_path / "12345678-w", 80)
    write_sidecar(path, "a" * 64, {"url": "https://example.org/w"}, {})
    assert read_sidecar(imported(path, local_sha256=None))["inputs"] == {"published": "a" * 64}
    assert "sets " + "0" * 64 in refusal(imported, path, local_sha256=None, sha256="0" * 64)
    assert json.loads((tmp_path / "12345678-w.json").read_text())["content"] == "a" * 64


# --- networks of libraries ---


@pytest.mark.parametrize(
    ("name", "dimension", "layers"),
    [("resnet18", 512, (20, 20)), ("resnet50", 2048, (53, 53)), ("regnet_y_400mf", 440, ())],
)
def test_torchvisions_networks_can_be_imported(tmp_path, imported, capfd, name, dimension, layers):
    """The features of the imported backbone equal the input of torchvision's classifier, bit for bit."""
    import torchvision

    torch.manual_seed(7)
    network = getattr(torchvision.models, name)(weights=None).eval()
    params = {f"_orig_mod.module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"model_params": params, "global_step": 80}, tmp_path / "w")
    backbone, description = read_backbone(imported(tmp_path / "w", backbone=made.backbone(name)))
    network.fc = torch.nn.Identity()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone(images), network(images))
    assert backbone.dimension == dimension and description["classes"] == 1000
    if layers:
        assert f"{layers[0]} convolutions, {layers[1]} batch norms, classifier of 1000" in capfd.readouterr().err


def test_a_classifier_may_have_another_name(tmp_path, imported):
    """A MobileNet's last layer in torchvision is classifier.3; the layers before it belong to the backbone."""
    import torchvision

    network = torchvision.models.mobilenet_v3_small(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w")
    backbone, description = read_backbone(imported(tmp_path / "w", backbone=made.backbone("mobilenet_v3_small")))
    assert (backbone.dimension, description["classes"]) == (1024, 1000)
    network.classifier[3] = torch.nn.Identity()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone(images), network(images))
