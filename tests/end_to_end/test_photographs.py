"""Run the studies of photographs, config/photos.yaml and config/paper.yaml, on a few small images.

Images are real photographs if the machine has them (tests/support/images.py), or else drawn in the same layouts.
"""

import csv
import io

import pytest
import yaml

from tests.support.images import draw_folder, draw_image_folder, draw_inaturalist, real_images
from tests.support.studies import BESIDE_TABLE_2, StudyFolder, values_of


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return the root folders of source and target images.

    Each has 10 or more classes, and 12 or more training images per class.
    """
    folder = tmp_path_factory.mktemp("photographs")
    found = real_images(folder, per_class=12, classes=12)
    if found is None:
        found = {}
        for name, suffix, side in (("tinyimagenet100", "JPEG", 64), ("cifar100-15k", "png", 32)):
            classes = {f"class{number:02d}": 12 for number in range(12)}
            found[name] = draw_image_folder(folder / name, classes, suffix, (side, side))
    return found


def study_of(config: str, folder, change) -> tuple[StudyFolder, str]:
    """Return a copy of the repository, and the path of a config in it that ``change(values)`` has made smaller."""
    study = StudyFolder.fresh(folder)
    values = values_of(config)
    change(values)
    (study.path / "config/small.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return study, "config/small.yaml"


def table(study: StudyFolder) -> dict[str, dict]:
    """Return the rows of table 2 by method."""
    return {row["method"]: row for row in csv.DictReader(io.StringIO(study.read("results/table2.csv").decode()))}


def small_probe(values):
    values["probe"] |= {"epochs": 3, "lr_milestones": [2], "lr": 0.1}
    values.pop("limits", None)


def test_the_study_of_photographs_runs_on_few_images(photographs, tmp_path):
    def smaller(values):
        source, target = values["data_sets"].values()
        source.update(root=str(photographs["tinyimagenet100"]), classes=6, views=2)
        target.update(root=str(photographs["cifar100-15k"]), classes=8, views=3)
        values["backbones"]["residual16"]["width"] = 4
        values["pretrain"].update(seeds=[2, 550], batch_size=16, warmup_steps=2, batch_norm_batches=2)
        values["arms"] = [{"name": f"cat{members}", "members": members, "steps": 4} for members in (1, 2)]
        for other in (*BESIDE_TABLE_2, "ceiling", "direct"):
            values.pop(other, None)
        values.pop("limits", None)

    study, config = study_of("config/photos.yaml", tmp_path / "study", smaller)
    # The target's floors: two untrained networks, the projection, and their probes.
    jobs = {
        "write_dataset": 4,
        "pretrain": 2,
        "initialise": 3,
        "extract_features": 4 + 3,
        "probe": 4 + 3,
        "tabulate": 1,
    }
    assert study.run(config=config) == jobs
    rows = table(study)
    assert [rows[arm]["replicates"] for arm in ("cat1", "cat2")] == ["2", "1"]
    assert all(0 <= float(row[name]) <= 100 for row in rows.values() for name in ("tinyimagenet25", "cifar100"))
    assert (
        "Views of the training images that probes read: 2 for Tiny-ImageNet, 25 classes"
        in study.read("results/table2.md").decode()
    )
    assert study.run(config=config) == {}


def test_the_papers_study_runs_on_small_images_in_its_layouts(photographs, tmp_path):
    """ImageNet has its 1,000 folders, iNaturalist its lists, and a folder replaces CIFAR's archives.

    (torchvision checks the md5 of CIFAR's files, so small ones are tested in tests/unit/images/test_data_sets.py.)
    """
    folder = tmp_path / "images"
    wnids = [f"n{number:08d}" for number in range(1000)]
    for split in ("train", "val"):
        draw_folder(folder / "imagenet" / split, dict.fromkeys(wnids, 2), "JPEG", (10, 12))
    taxa = [f"{group}/{number}" for group in ("Aves", "Plantae") for number in (2761, 300, 31)]
    draw_inaturalist(folder / "inat18", [directory for directory in taxa for _ in range(6)], taxa)

    def smaller(values):
        sets = values["data_sets"]
        sets["imagenet"].update(root=str(folder / "imagenet"), views=1, fraction=0.9)
        sets["inat18"].update(root=str(folder / "inat18"), views=2)
        del sets["cifar10"]
        small = {name: sets["cifar100"][name] for name in ("title", "weight_decays")}
        transform = {"size": 32, "scale": [0.8, 1.0], "interpolation": "bicubic"}
        sets["cifar100"] = small | {
            "kind": "image_folder",
            "root": str(photographs["cifar100-15k"]),
            "classes": 6,
            "views": 3,
            "storage": {"write_mode": "raw"},
            "transform": transform,
        }
        for name in ("imagenet", "inat18"):
            sets[name]["transform"] = {"size": 32}
        values["targets"] = ["imagenet", "inat18", "cifar100"]
        values["backbone"], values["backbones"] = "resnet18", {"resnet18": {"architecture": "resnet18"}}
        values["pretrain"].update(seeds=[2, 550], batch_size=32, ghost_batch=4, warmup_steps=2, batch_norm_batches=1)
        values["arms"] = [{"name": f"cat{members}", "members": members, "steps": 2} for members in (1, 2)]
        for other in BESIDE_TABLE_2:
            values.pop(other, None)
        small_probe(values)

    study, config = study_of("config/paper.yaml", tmp_path / "study", smaller)
    jobs = study.run(config=config)
    made = {"write_dataset": 6, "pretrain": 2, "extract_features": 6, "probe": 6, "tabulate": 1}
    floors = {
        "initialise": 3,
        "extract_features": 6 + 3 * 2,
        "probe": 6 + 3 * 2,
    }  # for the two targets other than the source
    assert jobs == made | floors
    assert set(table(study)) == {"cat1", "cat2"}
    note = "Views of the training images that probes read: 1 for ImageNet-1k, 2 for iNat18, 3 for CIFAR-100."
    assert note in study.read("results/table2.md").decode()
