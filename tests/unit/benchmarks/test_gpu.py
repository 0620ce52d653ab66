"""Tests of benchmarks.gpu on the CPU at small scale: the stages and the bare loops compute the same."""

from pathlib import Path

import pytest
import torch

from benchmarks import gpu, photographs
from tests.support.settings import backbone
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.runtime import devices, torch_settings

BACKBONE = backbone("resnet18")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of eight photographs of 48 x 64 px, as image files and as train.beton."""
    torch_settings.configure(1)
    folder = photographs.make_photographs(tmp_path_factory.mktemp("photographs"), 8, 48, 64)
    photographs.write_photographs(folder)
    return folder


@pytest.mark.parametrize("options", [{}, {"precision": "bf16", "channels_last": True}], ids=["float32", "bf16"])
def test_the_bare_loop_takes_the_same_steps_as_train_step(folder, options):
    """On the same batches both end at the same parameters, bit for bit, so the bare loop leaves out no arithmetic."""
    compared = gpu.Training(BACKBONE, folder / "train.beton", options, 4, 32, "cpu", 1)
    before = [value.clone() for value in compared.run.model.parameters()]
    compared.train(2)
    for inputs, labels in compared.tensors(2):
        compared.bare_step(inputs, labels)
    after = list(compared.run.model.parameters())
    assert all(torch.equal(ours, bare) for ours, bare in zip(after, compared.bare_run.model.parameters()))
    assert not any(torch.equal(ours, old) for ours, old in zip(after, before))
    assert compared.run.step == 2


def test_the_bare_loop_repeats_one_batch(folder):
    compared = gpu.Training(BACKBONE, folder / "train.beton", {}, 4, 32, "cpu", 1)
    compared.bare(2)
    for _ in range(2):
        images, labels = next(compared.stream(1))
        training.train_step(compared.run, images, labels, compared.recipe, compared.transform)
    for ours, bare in zip(compared.run.model.parameters(), compared.bare_run.model.parameters()):
        assert torch.equal(ours, bare)


def test_measuring_writes_all_tables(folder, tmp_path):
    variants = {name: options for name, options in gpu.VARIANTS.items() if not options.get("compile")}
    lines = gpu.measure(
        tmp_path,
        "cpu",
        files=8,
        backbone="resnet18",
        training=gpu.Sizes(batch=4, size=32, steps=1, variants=variants, repeats=1),
        extraction=gpu.Sizes(batch=4, size=32, number=6, repeats=1),
        probe={"classes": 7, "dimension": 12, "weight_decays": [1e-3, 1e-2], "batch": 8, "steps": 2, "repeats": 1},
    )
    rows = [line for line in lines if line.startswith("|")]
    assert [row.split(" | ")[0] for row in rows if "---" not in row] == [
        "| training",
        *(f"| {name}" for name in variants),
        "| extraction",
        "| resnet18, float32",
        "| probe",
        "| 7 classes x 12 features x 2 weight decays, batch 8",
    ]


def test_every_variant_is_a_recipe():
    for options in gpu.VARIANTS.values():
        gpu.recipe(batch_size=256, **options)


def test_a_machine_without_a_gpu_gets_a_one_line_section(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.visible_devices() == {}
    lines = gpu.section()
    assert lines[:2] == ["## On a GPU", ""] and len(lines) == 3 and lines[2].startswith("This machine has no GPU")
