"""Test small transformers and RegNets, and the import of published files of SwAV, SimSiam, SEER and ViT."""

import re
from dataclasses import replace

import pytest
import torch
import yaml
from torchvision.models import get_model

from tests.support import settings as made
from tests.support.studies import ROOT
from tests.unit.backbones.test_catalogue import message
from tests.unit.checkpoints.test_import_checkpoint import imported, refusal  # noqa: F401 (a fixture)
from workflow_scripts.timecat.artifacts.digests import file_sha256
from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.backbones.sizes import counted
from workflow_scripts.timecat.checkpoints.files import read_backbone, read_description, write_weights
from workflow_scripts.timecat.checkpoints.names import layers_of, renamed
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.errors import UserError

VIT = made.backbone("small_vit", patch=7, width=8, depth=2, heads=2)
REGNET = made.backbone("small_regnet", stem=8, widths=[8, 16], depths=[1, 2], group_width=4)
RESNET = made.backbone("resnet18")
SIZE, CLASSES = 28, 5


def trained(settings: BackboneSettings) -> torch.nn.Module:
    """Return a network in evaluation mode whose tensors differ from its initial tensors."""
    torch.manual_seed(4)
    network = build_backbone(settings, SIZE).train()
    network(torch.randn(4, 3, SIZE, SIZE))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    return network.eval()


def assert_same(one, other) -> None:
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():  # with gradients, attention uses another kernel, whose last bits differ
        assert torch.equal(one(images), other(images))


# --- architectures ---


@pytest.mark.parametrize("settings", [VIT, REGNET, replace(REGNET, squeeze_excite=False)])
def test_small_networks_have_the_right_features_and_can_be_saved(settings, tmp_path):
    network = trained(settings)
    assert network(torch.randn(3, 3, SIZE, SIZE)).shape == (3, network.dimension)
    assert network.dimension == (16 if settings.architecture == "small_regnet" else 8)
    write_weights(tmp_path / "w", Classifier(network, 3).eval(), {"backbone": settings, "image_size": SIZE})
    kept, _ = read_backbone(tmp_path / "w")
    assert_same(kept, network)


def test_small_networks_at_full_size_equal_torchvisions_networks():
    """The parameter counts equal torchvision's published counts minus a classifier of 1,000 classes."""
    vit = made.backbone("small_vit", patch=16, width=768, depth=12, heads=12)
    regnet = made.backbone("small_regnet", stem=32, widths=[48, 104, 208, 440], depths=[1, 3, 6, 6])
    assert counted(vit, 224).parameters == 86_567_656 - 769_000
    assert counted(regnet, 224).parameters == 4_344_144 - 441_000
    with torch.device("meta"):
        ours = build_backbone(vit, 224).state_dict()
        theirs = get_model("vit_b_16").state_dict()
    assert [*ours, "heads.head.weight", "heads.head.bias"] == list(theirs)
    regnets = [build_backbone(each).state_dict() for each in (regnet, made.backbone("regnet_y_400mf"))]
    assert [(key, value.shape) for key, value in regnets[0].items()] == [
        (key, value.shape) for key, value in regnets[1].items()
    ]


def test_the_size_of_a_torchvision_regnet_can_be_counted():
    """`make plan` needs the size for config/seer.yaml. torchvision publishes 145,046,770 parameters with classifier."""
    size = counted(made.backbone("regnet_y_32gf"), 224)
    assert (size.parameters, size.dimension) == (145_046_770 - 3713 * 1000, 3712)


def test_a_transformer_accepts_one_image_size_only():
    with pytest.raises(UserError, match="patch 7 does not divide images of 32 px"):
        build_backbone(VIT, 32)
    with pytest.raises(UserError, match="small_vit was built for images of 28 px and got one of 14 px"):
        build_backbone(VIT, SIZE)(torch.randn(1, 3, 14, 14))
    assert message("{architecture: small_vit, patch: 4}") == ""
    assert "small_vit accepts one image size only" in message("{architecture: small_vit}", size=64)


@pytest.mark.parametrize(
    "block, told",
    [
        ("{architecture: small_vit, width: 10, heads: 4}", "4 do not divide width 10"),
        ("{architecture: small_vit, widths: [4]}", "widths"),
        ("{architecture: small_regnet, depths: [1]}", "[1] has 1 numbers and widths 2"),
        ("{architecture: small_regnet, widths: [16, 20]}", "8 does not divide width 20"),
    ],
)
def test_a_mistake_in_the_block_of_a_small_network_is_refused(block, told):
    assert told in message(block)


def test_zero_gamma_is_refused_for_a_small_transformer():
    assert "small_vit is not one" in message(
        "{architecture: small_vit, patch: 4}", "{seeds: [1, 2, 3, 4, 5], zero_gamma: true}"
    )


# --- published files ---


def classy(key: str) -> str:
    """Return the key of a RegNet's tensor in VISSL's files, which have ClassyVision's names."""
    key = re.sub(r"^stem\.", "_feature_blocks.conv1.stem.", key)
    key = re.sub(r"^trunk_output\.block(\d+)\.", lambda found: f"_feature_blocks.res{int(found[1]) + 1}.", key)
    key = key.replace(".proj.0.", ".proj.").replace(".proj.1.", ".bn.")
    key = key.replace(".f.c.0.", ".f.c.").replace(".f.c.1.", ".f.final_bn.")
    return key.replace(".se.fc1.", ".se.excitation.0.").replace(".se.fc2.", ".se.excitation.2.")


TIMM = {
    "class_token": "cls_token",
    "encoder.pos_embedding": "pos_embed",
    "conv_proj": "patch_embed.proj",
    "encoder.layers.encoder_layer_": "blocks.",
    ".ln_": ".norm",
    ".self_attention.in_proj_": ".attn.qkv.",
    ".self_attention.out_proj": ".attn.proj",
    ".mlp.0.": ".mlp.fc1.",
    ".mlp.3.": ".mlp.fc2.",
    "encoder.ln.": "norm.",
    "heads.head.": "head.",
}


def timm(key: str) -> str:
    for ours, theirs in TIMM.items():
        key = key.replace(ours, theirs)
    return key


def old_torchvision(key: str) -> str:
    """Return a ViT's key with the names of a block's MLP in torchvision's published file."""
    return key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")


def with_prefix(state: dict, rename) -> dict:
    return {rename(key): value for key, value in state.items()}


def swav(state: dict) -> dict:
    heads = {"projection_head.0.weight": torch.ones(4, 512), "projection_head.1.running_var": torch.ones(4)}
    return with_prefix(state | heads | {"prototypes.weight": torch.ones(3, 4)}, lambda key: f"module.{key}")


def simsiam(state: dict) -> dict:
    encoder = {f"encoder.{key}": value for key, value in state.items()}
    heads = {"encoder.fc.0.weight": torch.ones(8, 512), "predictor.0.weight": torch.ones(4, 8)}
    keys = with_prefix(encoder | heads, lambda key: f"module.{key}")
    return {"epoch": 100, "arch": "resnet18", "state_dict": keys, "optimizer": {"state": {}}}


def seer(state: dict) -> dict:
    model = {"trunk": with_prefix(state, classy), "heads": {"0.clf.0.weight": torch.ones(3, 16)}}
    return {"phase_idx": 1, "classy_state_dict": {"base_model": {"model": model, "meters": {}}, "train": True}}


def vit(state: dict) -> dict:
    head = {"heads.head.weight": torch.ones(CLASSES, 8), "heads.head.bias": torch.ones(CLASSES)}
    return with_prefix(state | head, old_torchvision)


def deit(state: dict) -> dict:
    return {"model": with_prefix(vit(state), lambda key: timm(key.replace("linear_1", "0").replace("linear_2", "3")))}


# The study whose `checkpoints.ignored` is used, the network, the function that makes a file's content, the prefix in
# the file, and the number of classes of its classifier.
FILES = {
    "swav": ("swav", RESNET, swav, "module.", None),
    "simsiam": ("simsiam", RESNET, simsiam, "module.encoder.", None),
    "seer": ("seer", REGNET, seer, "", None),
    "vit": ("vit", VIT, vit, "", CLASSES),
    "deit": ("vit", VIT, deit, "", CLASSES),
}


def ignored_of(study: str) -> list[str]:
    """Return `checkpoints.ignored` of the config of a study."""
    return yaml.safe_load((ROOT / f"config/{study}.yaml").read_text())["checkpoints"]["ignored"]


def bring(run, file, name: str):  # the stage, as the study calls it
    study, settings, *_ = FILES[name]
    publication = Publication(member=None, local_sha256=file_sha256(file), ignored=tuple(ignored_of(study)))
    return run(file, backbone=settings, image_size=SIZE, publication=publication)


@pytest.mark.parametrize("name", FILES)
def test_an_imported_file_gives_the_same_network(name, tmp_path, imported):  # noqa: F811
    _, settings, published, prefix, classes = FILES[name]
    network = trained(settings)
    torch.save(published(network.state_dict()), tmp_path / "file.pth")
    weights = bring(imported, tmp_path / "file.pth", name)
    backbone, _ = read_backbone(weights)
    assert_same(backbone, network)
    description = read_description(weights)
    assert description.get("classes") == classes and description["imported_from"]["prefix"] == prefix


@pytest.mark.parametrize("name", FILES)
def test_missing_and_unexpected_keys_are_named(name, tmp_path, imported):  # noqa: F811
    _, settings, published, *_ = FILES[name]
    state = trained(settings).state_dict()
    gone = [key for key in state if key.endswith("weight")][3]
    torch.save(published({key: value for key, value in state.items() if key != gone}), tmp_path / "file.pth")
    assert f"missing keys are {gone}" in refusal(bring, imported, tmp_path / "file.pth", name)
    torch.save(published(state | {"another.weight": torch.ones(2)}), tmp_path / "file.pth")
    told = refusal(bring, imported, tmp_path / "file.pth", name)
    assert re.search(r"unexpected keys are \S*another.weight", told)


def test_all_names_of_full_size_networks_are_translated():
    """RegNetY-32GF has the names of SEER's file. ViT-B/16 has the names of torchvision's and timm's files."""
    regnet = list(build_backbone(made.backbone("regnet_y_32gf")).state_dict())
    with torch.device("meta"):
        transformer = list(build_backbone(made.backbone("vit_b_16")).state_dict())
    for names, layout in ((regnet, classy), (transformer, old_torchvision), (transformer, timm)):
        published = [layout(name) for name in names]
        assert len(set(published) - set(names)) > len(names) / 4
        assert [renamed(key, layers_of(names)) for key in published] == names
        assert [renamed(key, layers_of(names)) for key in names] == names
