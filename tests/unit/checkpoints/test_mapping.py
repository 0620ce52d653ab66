"""Test the mapping of published keys to the backbone: AlgoPerf, torchvision, SwAV, SimSiam and this project's files."""

import pytest
import torch
import torchvision

from workflow_scripts.timecat.checkpoints.mapping import counts_of, place
from workflow_scripts.timecat.errors import UserError

DIMENSIONS = {"resnet18": 512, "resnet50": 2048}
FC = ["fc.weight", "fc.bias"]


def trained(name: str) -> dict:
    """Return a state dict of a torchvision network in which all tensors differ, without slow initialisation."""
    with torch.device("meta"):
        empty = getattr(torchvision.models, name)(weights=None).state_dict()
    state = {
        key: torch.full(value.shape, number + 1, dtype=value.dtype) for number, (key, value) in enumerate(empty.items())
    }
    for value in state.values():
        value.view(-1)[-1] += 1
    return state


STATES = {name: trained(name) for name in DIMENSIONS}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Use one torch thread, because several threads are slow on small tensors when tests run in parallel."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=DIMENSIONS)
def name(request):
    return request.param


def backbone_of(state: dict) -> dict:
    """Return the tensors of a state dict except the classifier's."""
    return {key: value for key, value in state.items() if key not in FC}


def placed(tensors: dict, ignored=tuple(FC), name="resnet18", others=()):
    """Map the tensors of a file to the backbone ``name``, and return the result of ``place``."""
    wanted = {key: value.to("meta") for key, value in backbone_of(STATES[name]).items()}
    return place(tensors, list(others), wanted, DIMENSIONS[name], list(ignored), "file.pth")


def refusal(tensors: dict, **settings) -> str:
    """Return the error message for a file with these tensors."""
    with pytest.raises(UserError) as error:
        placed(tensors, **settings)
    message = str(error.value)
    assert message.startswith("file.pth") and "\n" not in message
    return message


def assert_is(found, name: str, prefix: str, classifier=True, left_out=()):
    """Check that a mapped file has the weights of the network ``name``."""
    state = STATES[name]
    assert list(found.backbone) == list(backbone_of(state)), "the order of the backbone's state dict"
    assert all(torch.equal(found.backbone[key], state[key]) for key in found.backbone)
    assert found.classifier.keys() == (set(FC) if classifier else set())
    assert all(torch.equal(found.classifier[key], state[key]) for key in found.classifier)
    assert (found.prefix, found.left_out) == (prefix, list(left_out))


def renamed(state: dict, rename) -> dict:
    """Return a state dict after applying ``rename`` to each key."""
    return {rename(key): value for key, value in state.items()}


def algoperf(state: dict) -> dict:
    """Return a state dict under AlgoPerf's keys: named layers in `downsample`, and the prefixes of torch's wrappers."""

    def rename(key):
        return "_orig_mod.module." + key.replace("downsample.0.", "downsample.conv.").replace(
            "downsample.1.", "downsample.bn."
        )

    return renamed(state, rename)


def test_torchvisions_names_are_mapped(name):
    assert_is(placed(STATES[name], name=name), name, "")


def test_algoperfs_names_are_mapped(name):
    published = algoperf(STATES[name])
    assert any("downsample.conv" in key for key in published) and not any("downsample.0" in key for key in published)
    assert_is(placed(published, name=name), name, "_orig_mod.module.")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.encoder_q.", "net.backbone.body."])
def test_any_prefix_is_found(prefix):
    assert_is(placed(renamed(STATES["resnet18"], lambda key: prefix + key)), "resnet18", prefix)


def test_this_projects_names_are_mapped():
    """In this project's files the backbone has the prefix ``backbone.`` and the classifier has none."""
    ours = renamed(STATES["resnet18"], lambda key: key if key in FC else f"backbone.{key}")
    assert_is(placed(ours), "resnet18", "backbone.")
    assert_is(placed(renamed(ours, lambda key: f"module.{key}")), "resnet18", "module.backbone.")


def swav(state: dict) -> dict:
    heads = {"projection_head.0.weight": torch.ones(4, 512), "projection_head.1.running_var": torch.ones(4)}
    return renamed({**backbone_of(state), **heads, "prototypes.weight": torch.ones(3, 4)}, lambda key: f"module.{key}")


def simsiam(state: dict) -> dict:
    encoder = {**backbone_of(state), "fc.0.weight": torch.ones(512, 512), "fc.1.running_var": torch.ones(512)}
    published = renamed(encoder, lambda key: f"module.encoder.{key}")
    return {**published, "module.predictor.0.weight": torch.ones(4, 512)}


def test_swavs_heads_must_be_ignored():
    published = swav(STATES["resnet18"])
    found = placed(published, ignored=["fc.*", "projection_head.*", "prototypes.*"])
    heads = ["module.projection_head.0.weight", "module.projection_head.1.running_var", "module.prototypes.weight"]
    assert_is(found, "resnet18", "module.", classifier=False, left_out=heads)
    message = refusal(published)
    assert all(head in message for head in heads) and "checkpoints.ignored" in message and "missing" not in message
    assert "projection_head" not in refusal(published, ignored=["fc.*", "projection_head.*"])


def test_simsiams_heads_must_be_ignored():
    published = simsiam(STATES["resnet18"])
    heads = ["module.encoder.fc.0.weight", "module.encoder.fc.1.running_var", "module.predictor.0.weight"]
    for ignored in (["fc.*", "predictor.*"], ["module.encoder.fc.*", "module.predictor.*", "fc.*"]):
        assert_is(placed(published, ignored=ignored), "resnet18", "module.encoder.", classifier=False, left_out=heads)
    message = refusal(published)
    assert all(head in message for head in heads)


def test_one_of_two_networks_in_a_file_must_be_ignored():
    both = {f"module.{part}.{key}": value for part in "qk" for key, value in backbone_of(STATES["resnet18"]).items()}
    message = refusal(both)
    assert "twice" in message and "'module.q.'" in message and "such as 'module.k.*'" in message
    assert placed(both, ignored=[*FC, "module.k.*"]).prefix == "module.q."


def test_all_missing_and_unexpected_keys_are_logged(capfd):
    state = dict(STATES["resnet18"])
    gone = [key for key in state if key.startswith("layer4.1.") and not key.endswith("num_batches_tracked")]
    published = {key: value for key, value in state.items() if key not in gone}
    published |= {f"extra.{number}": torch.ones(1) for number in range(12)}
    message = refusal(published)
    log = capfd.readouterr().err.splitlines()
    assert log == [f"unexpected key: extra.{n}" for n in range(12)] + [f"missing key: {key}" for key in gone]
    assert "unexpected keys are extra.0, extra.1" in message and "and 4 more" in message
    assert f"missing keys are {', '.join(gone[:8])} and {len(gone) - 8} more" in message


def test_keys_without_a_tensor_are_also_unexpected():
    assert "unexpected keys are epoch" in refusal(STATES["resnet18"], others=["epoch"])
    assert placed(STATES["resnet18"], others=["epoch"], ignored=[*FC, "epoch"]).left_out == ["epoch"]


def test_weights_of_another_network_are_refused():
    assert "layer1.0.conv3.weight" in refusal(STATES["resnet50"])
    message = refusal({"features.0.weight": torch.ones(2)})
    assert (
        "contains no layer of the backbone: its keys are features.0.weight, but the backbone has conv1.weight"
        in message
    )


def test_ignoring_layers_of_the_backbone_does_not_make_them_optional():
    published = {key: value for key, value in STATES["resnet18"].items() if not key.startswith("layer4.")}
    assert "missing keys are layer4.0.conv1.weight" in refusal(published, ignored=[*FC, "layer4.*"])


def test_the_classifier_may_be_missing_only_if_it_is_ignored():
    bare = backbone_of(STATES["resnet18"])
    assert_is(placed(bare), "resnet18", "", classifier=False)
    assert "missing keys are fc.weight, fc.bias" in refusal(bare, ignored=[])
    assert_is(placed(STATES["resnet18"], ignored=[]), "resnet18", "")


def test_a_classifier_that_does_not_fit_must_be_ignored():
    """A classifier that does not fit is left out if `checkpoints.ignored` lists it; else the file is refused."""
    state = STATES["resnet18"] | {"fc.weight": torch.ones(10, 128), "fc.bias": torch.ones(10)}
    assert_is(placed(state), "resnet18", "", classifier=False, left_out=FC)
    assert "unexpected keys are fc.weight, fc.bias" in refusal(state, ignored=[])


def test_counters_of_batch_norm_may_be_missing():
    """Files from before torch 0.4.1 do not contain counters."""
    state = {key: value for key, value in STATES["resnet18"].items() if "num_batches_tracked" not in key}
    found = placed(state)
    assert found.backbone["bn1.num_batches_tracked"] == 0
    assert list(found.backbone) == list(backbone_of(STATES["resnet18"]))


def test_tensors_of_other_shapes_are_refused():
    changed = {"conv1.weight": torch.ones(64, 3, 3, 3), "bn1.weight": torch.ones(32)}
    message = refusal(STATES["resnet18"] | changed)
    assert (
        "conv1.weight has the shape [64, 3, 3, 3] and must have [64, 3, 7, 7], bn1.weight has the shape [32] and must "
        "have [64]" in message
    )


@pytest.mark.parametrize("key", ["layer2.0.bn1.running_mean", "conv1.weight", "fc.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(key, value):
    state = STATES["resnet18"] | {key: STATES["resnet18"][key].clone()}
    state[key].view(-1)[-1] = value
    assert f"{key} has values that are not finite" in refusal(state)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_variances_that_are_not_positive_are_refused(value):
    key = "layer3.1.bn2.running_var"
    state = STATES["resnet18"] | {key: STATES["resnet18"][key].clone()}
    state[key][5] = value
    assert f"{key} has variances that are not positive" in refusal(state)


def test_half_precision_becomes_single_precision():
    """Integer weights are refused."""
    half = {key: value.half() if value.is_floating_point() else value for key, value in STATES["resnet18"].items()}
    found = placed(half)
    assert found.backbone["conv1.weight"].dtype == found.classifier["fc.weight"].dtype == torch.float32
    assert torch.equal(found.backbone["conv1.weight"], STATES["resnet18"]["conv1.weight"].half().float())
    whole = STATES["resnet18"] | {"conv1.weight": torch.ones(64, 3, 7, 7, dtype=torch.int8)}
    assert "conv1.weight holds torch.int8, not torch.float32" in refusal(whole)


def test_convolutions_and_batch_norms_are_counted():
    assert counts_of(placed(STATES["resnet50"], name="resnet50").backbone) == (53, 53)
    assert counts_of(placed(STATES["resnet18"]).backbone) == (20, 20)
