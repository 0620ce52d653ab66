"""Test networks at step 0: the initial weights of pretraining, with batch-norm statistics of training images."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.support import settings as made
from tests.support.images import settings_of, write_data_set
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.backbones.random_projection import RandomProjection
from workflow_scripts.timecat.backbones.sizes import backbone_size
from workflow_scripts.timecat.checkpoints.files import read_backbone
from workflow_scripts.timecat.config.backbones import RandomProjection as Block
from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.pretraining import training, untrained
from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream

CUES = {"kind": "cues", "rows": {"train": 256, "evaluation": 16}}
SMALL = made.backbone(architecture="small_residual", width=4, blocks=2)
SEED = 23
TRANSFORM = made.transform(size=32)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def train(tmp_path_factory) -> Path:
    return write_data_set("cues", "train", settings_of("train", **CUES), tmp_path_factory.mktemp("data"))


def initialised(folder: Path, train: Path, **recipe):
    """Run the stage, and return (backbone that it writes, sidecar)."""
    options = untrained.Options(
        source="cues",
        seed=SEED,
        backbone=SMALL,
        beginning=Pretrain(seeds=[SEED], batch_size=64, batch_norm_batches=2, **recipe).beginning(),
        transform=TRANSFORM,
        train=train,
        torch_threads=1,
        workers=1,
        gpus=0,
        weights=folder / "step0.safetensors",
    )
    untrained.run(options)
    return read_backbone(options.weights)[0], read_sidecar(options.weights)


@pytest.mark.parametrize("recipe", [{}, {"ghost_batch": 16}, {"initialisation": "lecun_normal", "zero_gamma": True}])
def test_step_0_equals_the_start_of_pretraining(tmp_path, train, recipe):
    """Parameters and statistics equal the output of pretraining after zero steps."""
    found, sidecar = initialised(tmp_path, train, **recipe)
    whole = made.recipe(batch_size=64, batch_norm_batches=2, **recipe)
    run = training.start_run(SMALL, read_sidecar(train)["classes"], whole, SEED, "cpu", TRANSFORM.size)
    source = Source(train, read_sidecar(train)["rows"])
    wanted = training.averaged_model(run, batch_norm_stream(source, whole, TRANSFORM, SEED), TRANSFORM).backbone
    for name, value in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert sidecar["facts"]["step"] == 0
    assert not torch.equal(found.stem[1].running_var, torch.ones(4)), "the statistics must not be the initial ones"


def test_seeds_have_different_initial_weights(tmp_path, train):
    first, _ = initialised(tmp_path, train)
    other = training.start_run(SMALL, 16, made.recipe(), SEED + 1, "cpu", 32).model.backbone
    assert not torch.equal(first.stem[0].weight, other.stem[0].weight)


def test_a_random_projection_multiplies_the_pixels_by_a_fixed_matrix():
    torch.manual_seed(0)
    network = RandomProjection(dimension=8, side=16, image_size=16)
    images = torch.rand(5, 3, 16, 16)
    wanted = images.reshape(5, -1) @ network.projection.weight.T
    torch.testing.assert_close(network(images), wanted)
    assert network(images).shape == (5, 8)


def test_a_random_projection_reduces_larger_images_by_averaging_areas():
    network = RandomProjection(dimension=8, side=16, image_size=32)
    images = torch.rand(2, 3, 32, 32)
    means = images.reshape(2, 3, 16, 2, 16, 2).mean(dim=(3, 5))
    torch.testing.assert_close(network(images), network(means))


def test_a_random_projection_keeps_distances_up_to_a_factor():
    """Squared distances shrink by dimension / n, for weights of variance 1 / n (Johnson and Lindenstrauss 1984)."""
    torch.manual_seed(0)
    network, images = RandomProjection(dimension=2048, side=32, image_size=32), torch.rand(20, 3, 32, 32)
    with torch.no_grad():
        before, after = torch.pdist(images.flatten(1)), torch.pdist(network(images))
    torch.testing.assert_close(after / before, torch.full_like(before, (2048 / 3072) ** 0.5), rtol=0.1, atol=0)


def test_a_random_projection_without_an_image_size_is_refused():
    with pytest.raises(UserError, match="side of the images"):
        RandomProjection(dimension=8, side=16, image_size=None)


@pytest.mark.parametrize("image_size", [28, 32, 64])
def test_the_size_of_a_random_projection_is_known_without_building_it(image_size):
    block = Block(architecture="random_projection", dimension=100)
    network = RandomProjection(block.dimension, block.side, image_size)
    size = backbone_size(block.settings(), image_size)
    assert size.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert (size.dimension, size.tensors, size.norms) == (network.dimension, 1, 0)


def test_an_untrained_network_has_the_settings_of_the_recipe():
    block = Pretrain(seeds=[1], batch_size=64, accumulation=4)
    assert block.beginning().part == block.recipe().part == 16
    assert dataclasses.asdict(block.beginning()).keys() < {*dataclasses.asdict(block.recipe()), "part"}
