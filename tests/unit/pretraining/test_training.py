"""Test pretraining: milestones equal one run, averaging does not change the run, divergence is reported."""

import argparse
import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support import settings as made
from tests.support.images import read_split
from workflow_scripts.timecat.artifacts.digests import plain
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.checkpoints import files
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.pretraining import batches, job, training
from workflow_scripts.timecat.runtime import torch_settings

BACKBONE = made.backbone(width=4, blocks=2)
RECIPE = made.recipe(
    batch_size=32,
    lr=0.01,
    weight_decay=0.005,
    betas=[0.9, 0.999],
    warmup_steps=3,
    label_smoothing=0.1,
    batch_norm_batches=3,
)
TRANSFORM = made.transform(
    size=28, scale=(0.8, 1), ratio=(0.75, 4 / 3), flip=0.5, center_ratio=0.875, mean=[0.4] * 3, std=[0.2] * 3
)
ROWS = 150  # four full batches per epoch, and 22 rows that are left out


@pytest.fixture(scope="module")
def beton(tmp_path_factory):
    settings = {
        "kind": "cues",
        "seed": 1,
        "rows": {"train": ROWS},
        "agreement": 0.9,
        "components": None,
        "label": "class",
    }
    path = tmp_path_factory.mktemp("data") / "train.beton"
    write_beton(path, read_split(settings, "train"), {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90})
    torch_settings.configure(1)
    return path


def start(seed=2):
    return training.start_run(BACKBONE, 16, RECIPE, seed, "cpu")


def train(run, beton, stop, seed=2):
    for images, labels in batches.batch_stream(
        batches.Source(beton, ROWS), RECIPE, TRANSFORM, seed, range(run.step, stop)
    ):
        training.train_step(run, images, labels, RECIPE, TRANSFORM)
    return run


def average(run, beton, seed=2):
    stream = batches.batch_norm_stream(batches.Source(beton, ROWS), RECIPE, TRANSFORM, seed)
    return training.averaged_model(run, stream, TRANSFORM)


def weights_bytes(run, beton, path):
    files.write_weights(path, average(run, beton), {"loss": run.loss_average, "backbone": BACKBONE})
    return path.read_bytes()


def test_a_chain_equals_an_uninterrupted_run_bit_for_bit(beton, tmp_path):
    whole = train(start(), beton, 11)
    chained = start()
    for milestone in (3, 6, 11):  # in the middle and at the end of epochs
        train(chained, beton, milestone)
        average(chained, beton)
        following = start()
        assert training.load_state(training.state_bytes(chained, "run"), following, "run")
        chained = following
    assert weights_bytes(chained, beton, tmp_path / "a") == weights_bytes(whole, beton, tmp_path / "b")
    assert training.state_bytes(chained, "run") == training.state_bytes(whole, "run")


def test_averaging_does_not_change_the_run(beton):
    run = train(start(), beton, 5)
    before = training.state_bytes(run, "run")
    average(run, beton)
    assert training.state_bytes(run, "run") == before


def test_the_average_is_the_evaluation_point_of_the_schedule_free_optimizer(beton):
    run = train(start(), beton, 5)
    model, optimizer = copy.deepcopy((run.model, run.optimizer))
    optimizer.eval()
    for mine, theirs in zip(average(run, beton).parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(run.model.fc.weight, model.fc.weight)


def test_batch_norm_statistics_are_computed_with_the_averaged_weights(beton):
    run = train(start(), beton, 8)
    model = average(run, beton)
    norm = model.backbone.stem[1]
    inputs = [
        training.normalise(images, TRANSFORM)
        for images in batches.batch_norm_stream(batches.Source(beton, ROWS), RECIPE, TRANSFORM, 2)
    ]
    with torch.no_grad():
        means = [model.backbone.stem[0](batch).mean((0, 2, 3)) for batch in inputs]
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1 and not torch.equal(norm.running_mean, run.model.backbone.stem[1].running_mean)


def test_the_batch_of_a_step_does_not_depend_on_the_first_step(beton):
    def stream(first, last):
        return [
            (images.numpy(), labels.numpy())
            for images, labels in batches.batch_stream(
                batches.Source(beton, ROWS), RECIPE, TRANSFORM, 2, range(first, last)
            )
        ]

    whole = stream(0, 9)
    assert len(whole) == 9
    for first in (1, 4, 7):
        for (images, labels), (late_images, late_labels) in zip(whole[first:], stream(first, 9), strict=True):
            assert np.array_equal(images, late_images) and np.array_equal(labels, late_labels)
    assert not np.array_equal(whole[0][0], whole[4][0])  # another epoch, another order


def test_seeds_differ_in_initial_weights_and_order(beton):
    first, second = start(2), start(3)
    assert not torch.equal(first.model.fc.weight, second.model.fc.weight)
    (batch, _), (other, _) = (
        next(iter(batches.batch_stream(batches.Source(beton, ROWS), RECIPE, TRANSFORM, seed, range(0, 1))))
        for seed in (2, 3)
    )
    assert not torch.equal(batch, other)


def test_the_state_of_another_run_is_not_loaded(beton):
    run = train(start(), beton, 2)
    assert training.load_state(training.state_bytes(run, "this"), start(), "another") is False


def test_a_loss_that_is_not_finite_stops_training_with_advice(beton):
    run = start()
    with torch.no_grad():
        run.model.fc.bias[0] = float("nan")
    with pytest.raises(UserError, match="loss is nan at step 1.*lower pretrain.lr"):
        train(run, beton, 1)


def test_a_batch_larger_than_the_data_set_is_refused(beton):
    with pytest.raises(UserError, match="pretrain.batch_size 32 exceeds the 20 training rows"):
        next(batches.batch_stream(batches.Source(beton, 20), RECIPE, TRANSFORM, 2, range(0, 1)))


def test_weights_have_a_description_and_read_back_equal(beton, tmp_path):
    run = train(start(), beton, 3)
    model = average(run, beton)
    files.write_weights(tmp_path / "w", model, {"backbone": BACKBONE, "seed": 2})
    backbone, description = files.read_backbone(tmp_path / "w")
    assert description["seed"] == 2 and not backbone.training
    images = torch.randn(5, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(backbone(images), model.backbone(images))


def test_the_stages_weights_describe_their_training(beton, tmp_path):
    """Backbone, recipe and image size are in the weights file, so a reader does not need the config."""
    run = train(start(), beton, 1)
    params = {"backbone": BACKBONE, "recipe": {"precision": "bf16", "ghost_batch": 8}, "transform": {}}
    arguments = argparse.Namespace(backbone=BACKBONE, step=1, weights=tmp_path / "w", state=tmp_path / "s")
    facts = {"seed": 2, "step": 1, "image_size": 28}
    job.write_outputs(arguments, run, average(run, beton), "run", job.Origin(params, {"train": "x"}, facts, "cpu"))
    description = files.read_description(tmp_path / "w")
    assert description["recipe"] == params["recipe"] and description["backbone"] == plain(BACKBONE)
    assert description["image_size"] == 28
    assert read_sidecar(tmp_path / "w")["params"]["recipe"] == params["recipe"]


def test_torchs_compiler_is_not_imported_for_training(root):
    """Importing the compiler would make every pretraining job two seconds longer."""
    import subprocess
    import sys

    code = (
        "import sys, torch, schedulefree\n"
        "from workflow_scripts.timecat.runtime import torch_settings\n"
        "torch_settings.configure(1)\n"
        "model = torch.nn.Linear(2, 2)\n"
        "optimizer = schedulefree.AdamWScheduleFree(model.parameters())\n"
        "optimizer.train(); model(torch.ones(1, 2)).sum().backward(); optimizer.step(); optimizer.zero_grad()\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        (
            {"accumulation": 2},  # two GPUs would have one part of 16 each
            "training on 16 images per pass: set pretrain.accumulation to 4 or more (now 2; batch norm's statistics "
            "are then over fewer images), in the config",
        ),
        (
            {"ghost_batch": 16},
            "set pretrain.accumulation to 2 or more (now 1; the batch and its statistics do not change), or divide",
        ),
        ({"ghost_batch": 32}, "training on 32 images per pass: divide the batch among 2 GPUs"),
        ({"ghost_batch": 32, "compile": True}, "training on 32 images per pass: lower pretrain.batch_size (now 32)"),
    ],
)
def test_a_gpu_with_too_little_memory_stops_training_with_advice(beton, changes, advice):
    def too_small(images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    settings = replace(RECIPE, **changes)
    run = training.start_run(BACKBONE, 16, settings, 2, "cpu")
    run.network = too_small
    (images, labels), *_ = batches.batch_stream(batches.Source(beton, ROWS), settings, TRANSFORM, 2, range(0, 1))
    with pytest.raises(UserError, match="the GPU's memory is too small for") as error:
        training.train_step(run, images, labels, settings, TRANSFORM)
    assert advice in str(error.value) and run.step == 0
