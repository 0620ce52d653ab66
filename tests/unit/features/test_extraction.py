"""Test that features equal the backbone's outputs, that errors leave no files, and that interrupted jobs resume."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.references.reader import batches_reference
from tests.support import settings as chosen
from tests.support.images import write_data_set
from workflow_scripts import extract_features
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, write_sidecar
from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.checkpoints import files as checkpoints
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features import job
from workflow_scripts.timecat.features.extraction import Extractor
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.holdout import heldout_rows
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv.format import describe
from workflow_scripts.timecat.runtime import torch_settings

BACKBONE = chosen.backbone(width=4, blocks=2)
TRANSFORM = {
    "size": 28,
    "scale": [0.3, 1.0],
    "ratio": [0.75, 1.3],
    "flip": 0.5,
    "center_ratio": 0.875,
    "interpolation": "area",
    "mean": [0.4, 0.3, 0.2],
    "std": [0.3, 0.2, 0.1],
}
ROWS = {"train": 40, "evaluation": 20}
BATCH = 16  # 3 batches of training rows and 2 of evaluation rows; the last of each is partial
VIEWS = ["view0", "view1"]
FILES = ["evaluation.center.npy", "heldout.center.npy", "train.view0.npy", "train.view1.npy"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Folder with both splits of a small data set and the weights of a backbone, all with sidecars."""
    folder = tmp_path_factory.mktemp("data")
    torch_settings.configure(1)
    settings = {"kind": "cues", "seed": 1, "rows": ROWS, "agreement": 0.9, "components": None, "label": "class"}
    for split in ROWS:
        write_data_set("small", split, settings, folder)
    torch.manual_seed(0)
    content = checkpoints.write_weights(
        folder / "weights", Classifier(build_backbone(BACKBONE), 16), {"backbone": BACKBONE}
    )
    write_sidecar(folder / "weights", content, {}, {})
    return folder


def extractor(backbone, dtype="float16") -> Extractor:
    settings = Extraction(views=VIEWS, dtype=dtype, batch_size=BATCH, augmentation_seed=0)
    return Extractor(backbone, chosen.transform(**TRANSFORM), settings, "cpu", workers=2)


class Plain(torch.nn.Module):
    """Backbone whose features are the channel means times ``factor``. ``bad`` replaces one feature of the last row."""

    dimension = 3

    def __init__(self, factor=1.0, bad=None):
        super().__init__()
        self.factor, self.bad = factor, bad

    def forward(self, images):
        features = images.mean(dim=(2, 3)) * self.factor
        if self.bad is not None and len(images) < BATCH:  # the last batch; the others are written already
            features[-1, 1] = self.bad
        return features


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("view", [1, views.CENTER])
def test_a_file_contains_the_backbones_features_of_the_views_images(data, tmp_path, dtype, view):
    key = views.view_key(3, "small", view)
    rows = [*np.random.default_rng(0).permutation(ROWS["train"]).tolist(), 7, 7]  # 42 rows: two batches and a rest
    backbone, _ = checkpoints.read_backbone(data / "weights")
    seen = []
    extractor(backbone, dtype).write(tmp_path / "made.npy", data / "train.beton", rows, key, seen.append)
    assert seen == [16, 16, 10]
    transform = chosen.transform(**TRANSFORM)
    wanted = []
    for _, images, _ in batches_reference(data / "train.beton", rows, BATCH, transform, key):
        with torch.no_grad():
            wanted.append(backbone(views.normalise(images, transform)).numpy())
    made = np.load(tmp_path / "made.npy")
    assert made.dtype == dtype and made.shape == (42, backbone.dimension)
    assert np.array_equal(made, np.concatenate(wanted).astype(dtype))
    assert len(np.unique(made, axis=0)) == ROWS["train"]  # otherwise constant features would pass
    assert [path.name for path in tmp_path.iterdir()] == ["made.npy"]


@pytest.mark.parametrize("rows", [[3, 1, 2], [0], []])
def test_fewer_rows_than_a_batch_are_written(data, tmp_path, rows):
    extractor(Plain()).write(tmp_path / "made.npy", data / "train.beton", rows, None)
    assert np.load(tmp_path / "made.npy").shape == (len(rows), 3)


@pytest.mark.parametrize(
    ("bad", "dtype", "words"),
    [
        (7e4, "float16", ["a feature of size 7e+04 does not fit float16", "set features.dtype: float32"]),
        (-7e4, "float16", ["a feature of size 7e+04 does not fit float16", "set features.dtype: float32"]),
        (float("nan"), "float32", ["a feature is not finite", "pretrain it again", "features.dtype"]),
        (float("inf"), "float16", ["a feature is not finite", "pretrain it again", "features.dtype"]),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(data, tmp_path, bad, dtype, words):
    """No file is left."""
    with pytest.raises(UserError) as error:
        extractor(Plain(bad=bad), dtype).write(tmp_path / "made.npy", data / "train.beton", range(ROWS["train"]), None)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'made.npy'}: ") and all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


def test_the_largest_values_of_a_dtype_are_accepted(data, tmp_path):
    extractor(Plain(bad=65504.0)).write(tmp_path / "half.npy", data / "train.beton", range(3), None)
    extractor(Plain(bad=7e4), "float32").write(tmp_path / "single.npy", data / "train.beton", range(3), None)
    assert np.load(tmp_path / "half.npy").max() == 65504 and np.load(tmp_path / "single.npy").max() == 7e4


def limit_file_size(monkeypatch):
    """Limit the size of files, so that writing fails (Python ignores the signal)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refuse_to_sync(monkeypatch):
    """Make fsync fail as on a network file system whose quota is exhausted."""

    def fsync(descriptor):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", fsync)
    return monkeypatch.undo


def test_an_error_ends_the_threads_that_read_ahead(data, tmp_path):
    """The threads end although the error's traceback still refers to the frames that hold the reader."""
    before = set(threading.enumerate())
    with pytest.raises(UserError) as error:
        extractor(Plain(bad=float("nan"))).write(
            tmp_path / "made.npy", data / "train.beton", range(ROWS["train"]), None
        )
    assert error.value.__traceback__ is not None and set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("spoil", "number"), [(limit_file_size, errno.EFBIG), (refuse_to_sync, errno.EDQUOT)], ids=["write", "fsync"]
)
def test_a_disk_error_leaves_no_file(data, tmp_path, monkeypatch, spoil, number):
    """The error message has one line."""
    restore = spoil(monkeypatch)
    try:
        with pytest.raises(UserError) as error:
            extractor(Plain()).write(tmp_path / "made.npy", data / "train.beton", range(ROWS["train"]), None)
    finally:
        restore()
    assert str(error.value) == (
        f"{tmp_path / 'made.npy'} cannot be written ({os.strerror(number)}): make room or use another disk"
    )
    assert list(tmp_path.iterdir()) == []


class SmallMemory(Plain):
    """Backbone on a GPU whose memory is too small for more than ``most`` images per pass."""

    def __init__(self, most: int):
        super().__init__()
        self.most, self.sizes = most, []

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(images)


def test_out_of_memory_halves_the_batch(data, tmp_path, capsys):
    """Extraction then continues with the smaller batch."""
    backbone, rows = SmallMemory(5), range(ROWS["train"])
    extractor(backbone).write(tmp_path / "made.npy", data / "train.beton", rows, None)
    # 40 images in batches of 16: the first batch is halved twice, and the smaller size is kept.
    assert backbone.sizes == [16, 8] + 4 * [4] + 4 * [4] + 2 * [4]
    extractor(Plain()).write(tmp_path / "wanted.npy", data / "train.beton", rows, None)
    assert np.array_equal(np.load(tmp_path / "made.npy"), np.load(tmp_path / "wanted.npy"))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "too small for 16 images per pass: continuing with 8" in said[0]
    assert "continuing with 4" in said[1]


def test_out_of_memory_with_one_image_is_an_error(data, tmp_path):
    with pytest.raises(torch.OutOfMemoryError):
        extractor(SmallMemory(0)).write(tmp_path / "made.npy", data / "train.beton", range(3), None)
    assert list(tmp_path.iterdir()) == []


def command_line(data: Path, features: Path, augmentation_seed=0) -> list[str]:
    """Return the arguments of the stage's command line."""
    extraction = {"views": VIEWS, "dtype": "float16", "batch_size": BATCH, "augmentation_seed": augmentation_seed}
    values = {
        "data-set": "small",
        "weights": data / "weights",
        "train": data / "train.beton",
        "evaluation": data / "evaluation.beton",
        "extraction": json.dumps(extraction),
        "heldout": json.dumps({"seed": 0, "fraction": 0.1}),
        "transform": json.dumps(TRANSFORM),
        "torch-threads": 1,
        "workers": 1,
        "gpus": 0,
        "features": features,
    }
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


KILLED_IN_THE_MIDDLE = """
import os, signal
from workflow_scripts import extract_features
from workflow_scripts.timecat.features import extraction

calls, check_range = [], extraction.check_range

def kill_at_the_second_batch_of_view0(features, dtype, path):
    calls.append(path.name)
    if calls.count("train.view0.npy") == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    check_range(features, dtype, path)

extraction.check_range = kill_at_the_second_batch_of_view0
extract_features.main()
"""


@pytest.fixture(scope="module")
def killed(data, tmp_path_factory, root) -> Path:
    """Folder in which the stage was killed in the middle of its third file. Tests must copy it before changes."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", textwrap.dedent(KILLED_IN_THE_MIDDLE), *command_line(data, folder / "small")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = sorted(path.name for path in (folder / ".small.unfinished").glob("*"))
    assert [name for name in left if name.endswith(".npy")] == FILES[:2]
    assert not (folder / "small").exists() and not (folder / "small.json").exists()
    return folder


@pytest.fixture
def stage(data, monkeypatch):
    """Function that runs the stage in this process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(features: Path, **settings) -> None:
        monkeypatch.setattr(sys, "argv", ["extract_features", *command_line(data, features, **settings)])
        extract_features.main()

    return run


def copied(killed: Path, tmp_path: Path) -> Path:
    """Copy the folder ``killed``, and return the copy."""
    subprocess.run(["cp", "-a", str(killed), str(tmp_path / "again")], check=True)
    return tmp_path / "again"


def contents(features: Path) -> dict[str, bytes]:
    """Return the bytes of each feature file and of the sidecar, by name."""
    files = {path.name: path.read_bytes() for path in sorted(features.glob("*.npy"))}
    return files | {"sidecar": features.with_name(f"{features.name}.json").read_bytes()}


def test_a_run_writes_all_files_and_a_sidecar(data, stage, tmp_path):
    """The sidecar lists the files, the dimension and the digests of the inputs."""
    stage(tmp_path / "small")
    made = contents(tmp_path / "small")
    assert list(made) == [*FILES, "sidecar"]
    sidecar = read_sidecar(tmp_path / "small")
    assert list(sidecar["files"]) == FILES and sidecar["dimension"] == 8
    assert sidecar["inputs"] == {
        "weights": read_sidecar(data / "weights")["content"],
        "train": read_sidecar(data / "train.beton")["content"],
        "evaluation": read_sidecar(data / "evaluation.beton")["content"],
    }
    backbone, _ = checkpoints.read_backbone(data / "weights")
    heldout = heldout_rows(describe(data / "train.beton").labels, seed=0, fraction=0.1)
    assert 0 < len(heldout) < ROWS["train"]
    for name, split, rows, view in (
        ("evaluation.center.npy", "evaluation", range(ROWS["evaluation"]), views.CENTER),
        ("heldout.center.npy", "train", heldout, views.CENTER),
        ("train.view0.npy", "train", range(ROWS["train"]), 0),
        ("train.view1.npy", "train", range(ROWS["train"]), 1),
    ):
        key = views.view_key(0, "small", view)
        extractor(backbone).write(tmp_path / "alone.npy", data / f"{split}.beton", rows, key)
        assert (tmp_path / "alone.npy").read_bytes() == made[name], name
    assert sorted(path.name for path in tmp_path.glob("small/*")) == FILES
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_rows_held_out_of_any_draw_are_extracted(data, stage, tmp_path, monkeypatch):
    labels = describe(data / "train.beton").labels
    draws = [np.arange(0, 26), np.arange(20, 40)]
    index = {"row": np.arange(40), "draws": [[d for d, own in enumerate(draws) if row in own] for row in range(40)]}
    pq.write_table(pa.table(index), tmp_path / "index.parquet")
    line = command_line(data, tmp_path / "drawn")
    monkeypatch.setattr(sys, "argv", ["extract_features", *line, "--train-index", str(tmp_path / "index.parquet")])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    extract_features.main()
    stage(tmp_path / "small")
    own = [rows[heldout_rows(labels[rows], seed=0, fraction=0.1)] for rows in draws]
    held = sorted({row for rows in own for row in rows.tolist()})
    assert held != heldout_rows(labels, seed=0, fraction=0.1).tolist()
    backbone, _ = checkpoints.read_backbone(data / "weights")
    extractor(backbone).write(tmp_path / "alone.npy", data / "train.beton", held, None)
    drawn, whole = contents(tmp_path / "drawn"), contents(tmp_path / "small")
    assert drawn["heldout.center.npy"] == (tmp_path / "alone.npy").read_bytes()
    assert all(drawn[name] == whole[name] for name in FILES if name != "heldout.center.npy")


def test_a_data_set_for_evaluation_only_has_one_feature_file(data, stage, tmp_path, monkeypatch):
    stage(tmp_path / "small")
    line = command_line(data, tmp_path / "only")
    line.remove(str(data / "train.beton"))
    line[line.index("--heldout") + 1] = "null"
    extraction = json.loads(line[line.index("--extraction") + 1]) | {"views": []}
    line[line.index("--extraction") + 1] = json.dumps(extraction)
    monkeypatch.setattr(sys, "argv", ["extract_features", *line])
    extract_features.main()
    assert [path.name for path in tmp_path.glob("only/*")] == FILES[:1]
    assert contents(tmp_path / "only")[FILES[0]] == contents(tmp_path / "small")[FILES[0]]
    sidecar = read_sidecar(tmp_path / "only")
    assert list(sidecar["files"]) == FILES[:1] and list(sidecar["inputs"]) == ["evaluation", "weights"]


def test_a_resumed_run_gives_the_same_files(killed, stage, tmp_path, capsys):
    folder = copied(killed, tmp_path)
    kept = {name: (folder / ".small.unfinished" / name).stat().st_ino for name in FILES[:2]}
    capsys.readouterr()
    stage(folder / "small")
    log = capsys.readouterr().err
    assert [name for name in FILES if f"{name} is complete already" in log] == FILES[:2]
    assert {name: (folder / "small" / name).stat().st_ino for name in FILES[:2]} == kept
    stage(tmp_path / "uninterrupted" / "small")
    assert contents(folder / "small") == contents(tmp_path / "uninterrupted" / "small")
    assert not (folder / ".small.unfinished").exists()


def test_a_resumed_run_leaves_no_temporary_files(killed, stage, tmp_path):
    folder = copied(killed, tmp_path)
    stage(folder / "small")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*(f"small/{name}" for name in FILES), "small.json"}


def test_files_of_a_killed_run_with_other_settings_are_not_used(killed, stage, tmp_path, capsys):
    folder = copied(killed, tmp_path)
    capsys.readouterr()
    stage(folder / "small", augmentation_seed=1)
    assert "is complete already" not in capsys.readouterr().err
    stage(tmp_path / "uninterrupted" / "small", augmentation_seed=1)
    assert contents(folder / "small") == contents(tmp_path / "uninterrupted" / "small")


def test_the_unfinished_folder_is_reused_only_for_equal_config_and_code(tmp_path, monkeypatch):
    def again(config="config") -> bool:
        """Return whether the next job finds the file that the previous job finished."""
        folder = job.unfinished_folder(tmp_path / "small", config)
        found = (folder / "a.npy").exists()
        (folder / "a.npy").write_bytes(b"features")
        return found

    assert [again(), again(), again()] == [False, True, True]
    assert [again("other config"), again("other config")] == [False, True]
    monkeypatch.setattr(job, "code_fingerprint", lambda stage: "edited")
    assert [again("other config"), again("other config")] == [False, True]
    (tmp_path / ".small.unfinished" / job.FINGERPRINT).unlink()
    assert again("other config") is False


def test_a_failed_run_keeps_the_previous_features(data, stage, tmp_path, monkeypatch):
    stage(tmp_path / "small")
    before = contents(tmp_path / "small")
    monkeypatch.setattr(Extractor, "features", lambda self, images: np.full((len(images), 8), np.nan, np.float32))
    with pytest.raises(UserError, match="not finite"):
        stage(tmp_path / "small", augmentation_seed=1)
    assert contents(tmp_path / "small") == before
