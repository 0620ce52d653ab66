"""Tests of benchmarks.loader and benchmarks.extraction: the compared loaders and models compute the same."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import extraction, loader, photographs, rates
from tests.support.settings import backbone
from workflow_scripts.timecat.backbones.build import build_backbone
from workflow_scripts.timecat.images.ffcv.format import JPEG, describe, usable_workers
from workflow_scripts.timecat.runtime import torch_settings

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding")
SMALL = backbone(width=4, blocks=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of twelve photographs of 96 x 128 px, as image files and as train.beton."""
    torch_settings.configure(1)
    folder = photographs.make_photographs(tmp_path_factory.mktemp("photographs"), 12, 96, 128)
    photographs.write_photographs(folder)
    return folder


@pytest.fixture(scope="module")
def beton(folder) -> Path:
    """Path of the .beton file of the photographs."""
    return folder / "train.beton"


def test_photographs_are_stored_with_unchanged_jpeg_data(folder, beton):
    tables = describe(beton)
    assert tables.rows == 12 and set(tables.heights) == {96} and set(tables.widths) == {128}
    assert (tables.modes == JPEG).all()
    assert sum(tables.sizes) == sum(path.stat().st_size for path in folder.rglob("*.jpg"))
    pixels = {path.read_bytes() for path in folder.rglob("*.jpg")}
    assert len(pixels) == 12  # all different


@pytest.mark.parametrize("decoder", loader.DECODERS)
def test_loaders_make_the_same_images(folder, beton, decoder, monkeypatch):
    """Images differ by the decoder's rounding (docs/explanation/fidelity.md); a different view differs much more."""
    assert loader.same_images(folder, beton, 48, decoder).max() < 2
    monkeypatch.setattr(
        loader.Folder, "__getitem__", lambda self, row, of=loader.Folder.__getitem__: turned(of, self, row)
    )
    assert loader.same_images(folder, beton, 48, decoder).min() > 2


def turned(original, files, row):
    files.flips = ~files.flips
    image = original(files, row)
    files.flips = ~files.flips
    return image


@pytest.mark.parametrize("workers", [0, 1])
def test_every_loader_gives_every_row_in_order(folder, beton, workers):
    transform = loader.PhotoTransform(size=32).settings()
    rows = [3, 1, 1, 11, 0]
    files = loader.Folder(folder / "train", beton, transform, "Pillow")
    wanted = describe(beton).labels[rows].tolist()
    for batches in (
        loader.torchvision_batches(files, rows, 2, workers),
        loader.our_batches(beton, rows, 2, transform, max(1, workers)),
    ):
        assert torch.cat([labels for _, labels in batches]).tolist() == wanted


def test_the_processor_time_of_workers_counts():
    """Processor time of a process counts once it has ended, as DataLoader's workers have when all batches are read."""
    before = rates.cpu_seconds()
    code = "import time\nwhile time.process_time() < 0.3: pass"
    os.waitpid(os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", code]), 0)
    assert rates.cpu_seconds() - before >= 0.3


def test_the_table_has_a_line_for_each_loader(folder, beton):
    lines = loader.loader_table(folder, beton, size=32, passes=2, batch=8, repeats=1)
    assert len(lines) == 2 + 3 * len({1, usable_workers(1000)})
    assert all(line.count("|") == 6 for line in lines)


def test_extraction_and_the_bare_model_give_the_same_features(beton, tmp_path):
    compared = extraction.Comparison(build_backbone(SMALL), beton, 20, 8, 32)
    compared.write(tmp_path / "made.npy")
    made, bare = np.load(tmp_path / "made.npy"), torch.cat(compared.bare()).numpy()
    assert made.shape == (20, 8) and np.array_equal(made, bare.astype(np.float16))
    cores = os.sched_getaffinity(0)
    with extraction.one_core():
        assert len(os.sched_getaffinity(0)) == 1
        compared.write(tmp_path / "again.npy")
    assert os.sched_getaffinity(0) == cores
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "made.npy").read_bytes()


def test_the_table_has_a_line_for_each_backbone(beton, tmp_path):
    backbones = {"small": build_backbone(SMALL)}
    lines = extraction.rates_table(backbones, beton, tmp_path, rows={"small": 12}, batch=8, size=32)
    assert len(lines) == 3 and lines[-1].startswith("| small | ") and lines[-1].count("|") == 8
