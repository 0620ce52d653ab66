"""Run the stage `write_dataset` on small images in the published layout of every kind of data set."""

import json
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from tests.support.images import (
    draw_camelyon,
    draw_cifar,
    draw_folder,
    draw_image_folder,
    draw_inaturalist,
    read_split,
    settings_of,
    write_data_set,
)
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.image_files import read_image_file
from workflow_scripts.timecat.images.ffcv.format import JPEG, describe, read_image
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import SplitKey

SPLITS = ("train", "evaluation")


def index_of(beton: Path) -> dict[str, list]:
    return pyarrow.parquet.read_table(str(beton).replace(".beton", ".index.parquet")).to_pydict()


def written(folder: Path, split: str, probed: Path | None = None, workers: int = 1, **block) -> tuple:
    """Run the stage and return its outputs: columns of the index, tables of the .beton file, and sidecar."""
    path = write_data_set("it", split, settings_of(split, **block), folder, workers, probed)
    return index_of(path), describe(path), read_sidecar(path)


def same_pixels(beton, row: int, file: Path, tolerance: float = 0.0) -> bool:
    """Return whether the stored image of a row has the pixels of an image file, up to a mean difference."""
    difference = read_image(beton, row).astype(int) - read_image_file(file).astype(int)
    return np.abs(difference).mean() <= tolerance


# --- folders ---


def test_an_image_folder_is_stored_with_its_pixels_and_labels(tmp_path):
    root = draw_image_folder(tmp_path / "mine", {"newt": 3, "ant": 5, "bee": 4})
    for split, counts in {"train": [5, 4, 3], "evaluation": [2, 2, 2]}.items():
        index, beton, sidecar = written(
            tmp_path / "out", split, kind="image_folder", root=str(root), storage={"write_mode": "raw"}
        )
        labels = np.repeat([0, 1, 2], counts).tolist()
        assert index["label"] == beton.labels.tolist() == labels and sidecar["classes"] == 3
        assert index["class_name"] == [["ant", "bee", "newt"][label] for label in labels]
        assert all(same_pixels(beton, row, root / source) for row, source in enumerate(index["source"]))


def test_jpeg_files_are_stored_unchanged_unless_they_are_reduced(tmp_path):
    root = draw_image_folder(tmp_path / "mine", {"ant": 3, "bee": 2}, "jpg", (60, 80))
    index, beton, _ = written(tmp_path / "out", "train", kind="image_folder", root=str(root))
    assert (beton.modes == JPEG).all()
    for source, pointer, size in zip(index["source"], beton.pointers, beton.sizes, strict=True):
        assert beton.file[pointer : pointer + size].tobytes() == (root / source).read_bytes()
    reduced = {"longest_side": 40}
    _, beton, _ = written(tmp_path / "out", "train", kind="image_folder", root=str(root), storage=reduced)
    assert beton.heights.tolist() == [30] * 5 and beton.widths.tolist() == [40] * 5


def test_moving_a_folder_does_not_change_sidecar_and_index(tmp_path):
    """Later jobs depend on the sidecar, so only the .beton file is written again."""
    root = draw_image_folder(tmp_path / "here", {"ant": 3, "bee": 2}, "jpg")
    path = write_data_set("it", "train", settings_of("train", kind="image_folder", root=str(root)), tmp_path / "out")
    sidecar, index = Path(f"{path}.json").read_bytes(), index_of(path)
    there = root.rename(tmp_path / "there")
    write_data_set("it", "train", settings_of("train", kind="image_folder", root=str(there)), tmp_path / "out")
    assert Path(f"{path}.json").read_bytes() == sidecar and index_of(path) == index


def test_a_split_does_not_get_settings_of_the_other_split():
    """A change of a key that affects one split therefore does not write the other split again."""
    block = {"kind": "image_folder", "root": "photos"}
    few = block | {"fraction": 0.01, "balanced": False, "subset_seed": 3}
    assert settings_of("evaluation", **few) == settings_of("evaluation", **block)
    assert settings_of("train", **few) != settings_of("train", **block)
    # Without a fraction all rows are used, so the keys of its draw are left out.
    assert settings_of("train", **block | {"balanced": False, "subset_seed": 3}) == settings_of("train", **block)
    drawn = [block | {"classes": 5, "subset_seed": seed} for seed in (1, 2)]
    assert settings_of("evaluation", **drawn[0]) != settings_of("evaluation", **drawn[1])
    hospitals = [{"kind": "camelyon17", "root": "data", "evaluation_split": name} for name in ("val", "test")]
    assert settings_of("train", **hospitals[0]) == settings_of("train", **hospitals[1])
    assert settings_of("evaluation", **hospitals[0]) != settings_of("evaluation", **hospitals[1])
    cues = [{"kind": "cues", "rows": {"train": 9, "evaluation": rows}} for rows in (3, 4)]
    assert settings_of("train", **cues[0]) == settings_of("train", **cues[1])


def test_download_is_a_resource_and_not_a_parameter():
    """Permission to download can therefore be given later without rerunning jobs."""
    for allowed in (True, False):
        config = read_config(
            {
                "source": "it",
                "targets": ["it"],
                "backbone": "small",
                "data_sets": {"it": {"kind": "cifar10", "root": "data", "download": allowed}},
                "backbones": {"small": {"architecture": "small_residual"}},
                "pretrain": {"seeds": [1]},
                "arms": [{"name": "cat1", "members": 1, "steps": 1}],
            },
            [],
        )
        wildcards = SplitKey("it", "train")
        assert "download" not in json.loads(Study(config).params.data_set(wildcards))
        assert Study(config).resources.may_download(wildcards) == str(allowed).lower()


# --- broken images ---


@pytest.fixture
def damaged(tmp_path) -> Path:
    """Folder of fifteen images of three classes, two of which cannot be read."""
    root = draw_image_folder(tmp_path / "mine", {"ant": 5, "bee": 5, "cat": 5}, "jpg")
    (root / "train/ant/001.jpg").write_bytes(b"<html>")
    (root / "train/cat/004.jpg").write_bytes((root / "train/cat/003.jpg").read_bytes()[:500])
    return root


def test_a_broken_image_stops_the_stage_and_is_named(damaged, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"mine/train/ant/001\.jpg cannot be read as an image \(unknown image format\)"):
        written(tmp_path / "out", "train", kind="image_folder", root=str(damaged))
    assert not (tmp_path / "out").exists() or [path.name for path in (tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_broken_images_are_skipped_and_listed(damaged, tmp_path, workers):
    block = {"kind": "image_folder", "root": str(damaged), "broken": "skip"}
    index, beton, sidecar = written(tmp_path / "out", "train", workers=workers, **block)
    assert sidecar["rows"] == beton.rows == 13 and sidecar["classes"] == 3
    assert index["row"] == list(range(13)) and index["label"] == beton.labels.tolist() == [0] * 4 + [1] * 5 + [2] * 4
    assert not {"train/ant/001.jpg", "train/cat/004.jpg"} & set(index["source"])
    assert all(same_pixels(beton, row, damaged / source, 4) for row, source in enumerate(index["source"]))
    lines = (tmp_path / "out/train.skipped.tsv").read_text().splitlines()
    assert lines[:2] == ["source\treason", "train/ant/001.jpg\tunknown image format"]
    assert lines[2].startswith("train/cat/004.jpg\t") and len(lines) == 3


def test_without_broken_images_the_list_has_only_its_header(tmp_path):
    root = draw_image_folder(tmp_path / "mine", {"ant": 2, "bee": 2})
    written(tmp_path / "out", "train", kind="image_folder", root=str(root), broken="skip")
    assert (tmp_path / "out/train.skipped.tsv").read_text() == "source\treason\n"


def test_images_are_read_only_when_they_are_indexed(tmp_path, monkeypatch):
    """Listing images does not open the files, so a data set may be larger than the memory."""
    root = draw_image_folder(tmp_path / "mine", {"ant": 2, "bee": 2})
    split = read_split(settings_of("train", kind="image_folder", root=str(root)), "train")
    for path in root.rglob("*.png"):
        path.write_bytes(b"")  # this breaks the images only if they are not read yet
    with pytest.raises(UserError, match="unknown image format"):
        split[0]


# --- iNaturalist ---

# Sorted as text, 9 comes after 10; the sorted order also differs from the order of this list.
DIRECTORIES = ["Plantae/9", "Aves/10", "Plantae/10", "Aves/9", "Aves/100", "Plantae/9"]


def test_inaturalist_labels_are_ranks_of_directories_as_text(tmp_path):
    root = draw_inaturalist(tmp_path / "inat", DIRECTORIES, ["Aves/9", "Plantae/9", "Aves/10"])
    index, beton, sidecar = written(tmp_path / "out", "train", kind="inaturalist18", root=str(root))
    assert sidecar["classes"] == 5 and beton.rows == 6
    assert index["label"] == [4, 0, 3, 2, 1, 4]
    assert index["class_name"] == [f"train_val2018/{name}" for name in DIRECTORIES]
    assert index["source"][0] == "train_val2018/Plantae/9/train000.jpg"
    assert all(same_pixels(beton, row, root / source, 3) for row, source in enumerate(index["source"]))
    index, _, sidecar = written(tmp_path / "out", "evaluation", kind="inaturalist18", root=str(root))
    assert index["label"] == [2, 4, 0] and sidecar["classes"] == 5


def remove_list(root):
    (root / "val2018.json").unlink()


def rewrite_list(root, value):
    (root / "val2018.json").write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (remove_list, ("there is no", "val2018.json", "`root`")),
        (lambda root: rewrite_list(root, "{"), ("val2018.json is not a list", "download the file again")),
        (lambda root: rewrite_list(root, {"images": [{"name": "x"}]}), ("`file_name`", "download the file again")),
        (lambda root: rewrite_list(root, {"images": []}), ("lists no images",)),
        (
            lambda root: rewrite_list(root, {"images": [{"file_name": "train_val2018/Fungi/1/a.jpg"}]}),
            ("train_val2018/Fungi/1/a.jpg", "train2018.json", "download both lists again"),
        ),
        (
            lambda root: (root / "train_val2018/Aves/9/val000.jpg").unlink(),
            ("Aves/9/val000.jpg", "there is no such file"),
        ),
    ],
    ids=["absent", "no JSON", "another JSON", "empty", "an unknown class", "a missing image"],
)
def test_mistakes_in_inaturalist_are_refused(tmp_path, break_it, words):
    root = draw_inaturalist(tmp_path / "inat", DIRECTORIES, ["Aves/9"])
    break_it(root)
    with pytest.raises(UserError) as caught:
        written(tmp_path / "out", "evaluation", kind="inaturalist18", root=str(root))
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value


# --- CIFAR ---


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_cifar_is_stored_with_its_pixels_and_labels(tmp_path, monkeypatch, kind):
    images = draw_cifar(tmp_path / "cifar", kind, monkeypatch)
    for split in SPLITS:
        index, beton, sidecar = written(tmp_path / kind, split, kind=kind, root=str(tmp_path / "cifar"))
        assert sidecar["classes"] == (10 if kind == "cifar10" else 100)
        assert beton.labels.tolist() == index["label"] == [row % 10 for row in range(len(images[split]))]
        assert index["class_name"][3] == "class03" and index["source"][3] == f"{kind}:{split}:3"
        assert all(np.array_equal(read_image(beton, row), image) for row, image in enumerate(images[split]))
    assert not np.array_equal(images["train"][0], images["evaluation"][0])


def test_absent_or_damaged_cifar_files_are_refused(tmp_path, monkeypatch):
    block = {"kind": "cifar10", "root": str(tmp_path / "cifar")}
    with pytest.raises(
        UserError, match=r"cifar-10-batches-py does not exist.*put the unpacked .* or set `download: true`"
    ):
        written(tmp_path / "out", "train", **block)
    draw_cifar(tmp_path / "cifar", "cifar10", monkeypatch)
    (tmp_path / "cifar/cifar-10-batches-py/data_batch_2").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="wrong md5"):
        written(tmp_path / "out", "train", **block)


def test_cifar_is_downloaded_once_for_both_splits(tmp_path, monkeypatch):
    """Without permission nothing is downloaded. A local server provides an archive in torchvision's layout."""
    import functools
    import hashlib
    import http.server
    import tarfile

    from torchvision.datasets import CIFAR10

    draw_cifar(tmp_path / "made", "cifar10", monkeypatch)
    (tmp_path / "served").mkdir()
    archive = tmp_path / "served" / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / CIFAR10.base_folder, CIFAR10.base_folder)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.command)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "served"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{CIFAR10.filename}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    block = {"kind": "cifar10", "root": str(tmp_path / "cifar")}
    try:
        with pytest.raises(UserError, match="download: true"):
            written(tmp_path / "out", "train", **block)
        assert asked == []
        read = [
            threading.Thread(target=read_split, args=(settings_of(split, download=True, **block), split))
            for split in SPLITS
        ]
        for thread in read:
            thread.start()
        for thread in read:
            thread.join()
        assert asked.count("GET") <= 2  # one download: torchvision asks for redirections first
        _, beton, sidecar = written(tmp_path / "out", "train", download=True, **block)
        assert beton.rows == 50 and "root" not in sidecar["params"] and "download" not in sidecar["params"]
        monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
        with pytest.raises(UserError, match=r"cannot be downloaded to .*elsewhere \(.*download it yourself"):
            written(tmp_path / "out", "train", kind="cifar10", root=str(tmp_path / "elsewhere"), download=True)
    finally:
        server.shutdown()
        server.server_close()


# --- fractions of the training rows, for every kind of data set ---


def cifar_block(tmp_path, monkeypatch):
    draw_cifar(tmp_path / "data", "cifar10", monkeypatch, rows=20)
    return {"kind": "cifar10"}, 100, 10


def inaturalist_block(tmp_path, monkeypatch):
    draw_inaturalist(tmp_path / "data", ["A/1", "B/2"] * 10, ["A/1"])
    return {"kind": "inaturalist18"}, 20, 2


def camelyon_block(tmp_path, monkeypatch):
    draw_camelyon(
        tmp_path / "data",
        [{"center": 0, "split": 0, "slide": slide} for slide in range(20)] + [{"center": 2, "split": 2}] * 3,
    )
    return {"kind": "camelyon17"}, 20, 2


def folder_block(tmp_path, monkeypatch):
    draw_image_folder(tmp_path / "data", {"ant": 10, "bee": 10})
    return {"kind": "image_folder"}, 20, 2


@pytest.mark.parametrize("block", [cifar_block, inaturalist_block, camelyon_block, folder_block])
def test_a_fraction_can_be_drawn_from_any_kind(tmp_path, monkeypatch, block):
    block, rows, classes = block(tmp_path, monkeypatch)
    block["root"] = str(tmp_path / "data")

    def sources(split="train", **changes):
        taken = read_split(settings_of(split, **block | changes), split)
        assert len(taken) == len(taken.images) == len(taken.labels)
        return taken.sources, taken

    whole, everything = sources()
    some, taken = sources(fraction=0.2, draws=1)
    assert len(whole) == rows and len(some) == rows // 5 and some == [name for name in whole if name in set(some)]
    assert np.bincount(taken.labels).tolist() == [rows // 5 // classes] * classes
    often, drawn = sources(fraction=0.2, draws=3)
    assert often[: len(some)] == some and len(set(often)) == 3 * rows // 5 and taken.draws is None
    assert drawn.draws.sum(axis=0).tolist() == [rows // 5] * 3 and drawn.draws[: len(some), 0].all()
    for split, row in [(each, row) for each in (taken, drawn) for row in range(len(each))]:
        image, label, name = *split[row], split.sources[row]  # images, labels and groups stay with their rows
        wanted, wanted_label = everything[whole.index(name)]
        assert label == wanted_label and (getattr(image, "data", image) == getattr(wanted, "data", wanted))
        assert all(split.groups[group][row] == everything.groups[group][whole.index(name)] for group in split.groups)
    assert sources(fraction=0.2, draws=1)[0] == some
    assert any(sources(fraction=0.2, draws=1, subset_seed=seed)[0] != some for seed in (1, 2))
    assert len(sources(fraction=0.25, draws=1, balanced=False)[0]) == rows // 4
    # Evaluation rows are never drawn, even if the stage receives a fraction.
    told = settings_of("train", fraction=0.2, **block) | settings_of("evaluation", **block)
    assert read_split(told, "evaluation").sources == sources("evaluation")[0]


# --- Camelyon17 ---

# Hospitals 0, 3 and 4 are for training, 1 for validation and 2 for testing; the column split does not affect this.
PATCHES = [
    {"center": 0, "split": 0, "patient": "004", "node": 4, "slide": 1},
    {"center": 0, "split": 1, "patient": "017", "node": 2, "slide": 2},
    {"center": 1, "split": 0, "patient": "020", "node": 0, "slide": 3},
    {"center": 2, "split": 0, "patient": "042", "node": 3, "slide": 4},
    {"center": 3, "split": 0, "patient": "061", "node": 1, "slide": 5},
    {"center": 2, "split": 1, "patient": "042", "node": 3, "slide": 6},
    {"center": 4, "split": 1, "patient": "080", "node": 1, "slide": 7},
]


@pytest.mark.parametrize(
    ("split", "evaluation_split", "rows"),
    [
        ("train", "test", [0, 4]),
        ("evaluation", "test", [3, 5]),
        ("evaluation", "val", [2]),
        ("evaluation", "id_val", [1, 6]),
    ],
)
def test_camelyon_splits_have_the_right_rows_and_groups(tmp_path, split, evaluation_split, rows):
    root = draw_camelyon(tmp_path / "camelyon", PATCHES)
    block = {"kind": "camelyon17", "root": str(root), "evaluation_split": evaluation_split}
    index, beton, sidecar = written(tmp_path / "out", split, storage={"write_mode": "raw"}, **block)
    assert beton.rows == len(rows) and sidecar["classes"] == 2
    assert index["label"] == [row % 2 for row in rows]
    assert index["class_name"] == [["normal", "tumor"][row % 2] for row in rows]
    for column in ("center", "slide", "node"):
        assert index[column] == [PATCHES[row][column] for row in rows]
    first, patch = index["source"][0], PATCHES[rows[0]]
    case = f"patient_{patch['patient']}_node_{patch['node']}"
    assert first == f"patches/{case}/patch_{case}_x_{rows[0]}_y_7.png"
    assert all(same_pixels(beton, row, root / source) for row, source in enumerate(index["source"]))


def edit_metadata(root, old, new):
    path = root / "metadata.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda root: (root / "metadata.csv").unlink(), ("there is no", "metadata.csv", "`root`")),
        (lambda root: edit_metadata(root, "center", "hospital"), ("no column center", "WILDS")),
        (lambda root: edit_metadata(root, ",020,0,2,", ",020,0,x,"), ("row 2", "'x'")),
        (lambda root: edit_metadata(root, ",042,3,3,7,1,", ",042,3,3,7,2,"), ("tumor is 2 in row 3", "0 or 1")),
        (lambda root: edit_metadata(root, ",2,0\n", ",3,0\n"), ()),
    ],
    ids=["absent", "another file", "no number", "a label that is no class", "valid"],
)
def test_mistakes_in_camelyon_metadata_are_refused(tmp_path, break_it, words):
    root = draw_camelyon(tmp_path / "camelyon", PATCHES)
    for number, line in enumerate((root / "metadata.csv").read_text().splitlines()[1:]):
        assert line.startswith(f"{number},{PATCHES[number]['patient']},")
    break_it(root)
    block = {"kind": "camelyon17", "root": str(root)}
    if not words:
        assert written(tmp_path / "out", "evaluation", **block)[1].rows == 1
        return
    with pytest.raises(UserError) as caught:
        written(tmp_path / "out", "evaluation", **block)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value


def test_a_split_without_rows_is_refused(tmp_path):
    root = draw_camelyon(tmp_path / "camelyon", [{"center": 0, "split": 0}])
    with pytest.raises(UserError, match="no row of split test"):
        written(tmp_path / "out", "evaluation", kind="camelyon17", root=str(root))


# --- folders for evaluation only ---


@pytest.fixture
def probed(tmp_path) -> Path:
    """Folder with an evaluation split written by the stage, of four classes, one of which has no evaluation image."""
    root = draw_image_folder(tmp_path / "source", {"n01": 2, "n02": 2, "n03": 2, "n04": 2})
    for path in (root / "val/n03").iterdir():
        path.unlink()
    written(tmp_path / "probed", "evaluation", kind="image_folder", root=str(root))
    return tmp_path / "probed"


def test_evaluation_folders_have_the_labels_of_the_probed_data_set(probed, tmp_path):
    root = draw_folder(tmp_path / "other", {"n04": 2, "n02": 3})
    block = {"kind": "evaluation_folder", "root": str(root), "probe_of": "source", "storage": {"write_mode": "raw"}}
    index, beton, sidecar = written(tmp_path / "out", "evaluation", probed, **block)
    assert index["label"] == beton.labels.tolist() == [1, 1, 1, 3, 3]
    assert index["class_name"] == ["n02"] * 3 + ["n04"] * 2
    assert sidecar["classes"] == 4 and sidecar["rows"] == 5 and set(sidecar["inputs"]) == {"probed_classes"}
    assert index["source"][0] == "n02/000.png"
    assert all(same_pixels(beton, row, root / source) for row, source in enumerate(index["source"]))


def test_numbers_as_folder_names_are_the_labels(probed, tmp_path):
    """The names of ImageNet-V2's folders are numbers, which are read as numbers, not as text."""
    root = draw_folder(tmp_path / "v2", {"3": 1, "0": 2})
    index, _, _ = written(
        tmp_path / "out", "evaluation", probed, kind="evaluation_folder", root=str(root), probe_of="source"
    )
    assert index["label"] == [0, 0, 3] and index["class_name"] == ["n01", "n01", "n04"]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (
            {"n01": 1, "n09": 1, "n08": 1},
            ("no class with evaluation images in source: n08, n09;", "rename or remove"),
        ),
        (dict.fromkeys("abcdef", 1), ("a, b, c and 3 more",)),
        ({"0": 1, "4": 1}, ("no class with evaluation images in source: 4;",)),
        ({"n01": 1, "n02": 0}, ("n02 has no images",)),
    ],
    ids=["unknown", "many unknown", "numbers that are no class", "empty"],
)
def test_mistakes_in_evaluation_folders_are_refused(probed, tmp_path, counts, words):
    root = draw_folder(tmp_path / "other", counts)
    for name in counts:
        (root / name).mkdir(exist_ok=True)
    block = {"kind": "evaluation_folder", "root": str(root), "probe_of": "source"}
    with pytest.raises(UserError) as caught:
        written(tmp_path / "out", "evaluation", probed, **block)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value


def test_an_evaluation_folder_has_no_training_split(probed, tmp_path):
    root = draw_folder(tmp_path / "other", {"n01": 1})
    with pytest.raises(UserError, match="for evaluation only.*no split train"):
        written(tmp_path / "out", "train", probed, kind="evaluation_folder", root=str(root), probe_of="source")
