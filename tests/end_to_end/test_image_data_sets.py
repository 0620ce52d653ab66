"""Data sets of image files under Snakemake: a job per split, and what follows a change of the config or of the folder."""

import pyarrow.parquet

from tests.support.images import draw_folder, draw_image_folder
from tests.support.studies import StudyFolder

TARGETS = [f"results/data_sets/{name}.beton" for name in ("mine/train", "mine/evaluation", "other/evaluation")]


def test_folders_are_written_split_by_split(tmp_path):
    study = StudyFolder.fresh(tmp_path / "study")
    draw_image_folder(study.path / "photos", {"ant": 4, "bee": 4, "cat": 4})
    draw_folder(study.path / "other", {"bee": 3})

    def change(values):
        values["data_sets"]["mine"] = {"kind": "image_folder", "root": "photos"}
        values["data_sets"]["other"] = {"kind": "evaluation_folder", "root": "other", "probe_of": "mine"}

    def run(*options):
        return study.run(*options, "--", *TARGETS)

    study.change_config(change)
    assert run() == {"write_dataset": 3}
    assert study.read("results/data_sets/mine/train.skipped.tsv") == b"source\treason\n"

    # Few-shot: training rows alone.
    study.change_config(lambda values: values["data_sets"]["mine"].update(fraction=0.5))
    assert run("-n") == {"write_dataset": 1}
    # How it is shown and used later is not the writer's business.
    study.change_config(
        lambda values: values["data_sets"]["mine"].update(fraction=1.0, title="Mine", views=2, transform={"size": 32})
    )
    assert run("-n") == {}
    # The folder moves. Its splits, written first, come out as they were: nothing follows. (In one run with what depends
    # on them that would run as well, for Snakemake decides before.)
    (study.path / "photos").rename(study.path / "moved")
    study.change_config(lambda values: values["data_sets"]["mine"].update(root="moved"))
    assert study.run("--", *TARGETS[:2]) == {"write_dataset": 2}
    assert run("-n") == {}
    # Another class: the numbers of all labels change, those of the folder that is evaluated too.
    draw_image_folder(study.path / "moved", {"ape": 4})
    assert run("--forcerun", *TARGETS[:2]) == {"write_dataset": 3}


def test_a_study_of_image_files_from_end_to_end(tmp_path):
    """Pretrained on a user's own folder, probed on it, and the probe read on a folder that has some of its classes."""
    study = StudyFolder.fresh(tmp_path / "study")
    draw_image_folder(study.path / "photos", {"ant": 30, "bee": 30, "cat": 30}, "jpg", (40, 50))
    (study.path / "photos/train/bee/003.jpg").write_bytes(b"no image")
    draw_folder(study.path / "other", {"cat": 5, "ant": 4})

    def change(values):
        transform = {"size": 28, "interpolation": "bilinear"}
        values["data_sets"] = {
            "mine": {"kind": "image_folder", "root": "photos", "broken": "skip", "transform": transform},
            "other": {"kind": "evaluation_folder", "root": "other", "probe_of": "mine"},
        }
        values.update(source="mine", targets=["mine", "other"])
        values["arms"] = [{"name": "cat1", "members": 1, "steps": 4, "replicates": [[2]]}]

    study.change_config(change)
    jobs = study.run("--", "results/table2.csv")
    assert jobs.pop("evaluate_probe") == 1
    assert jobs == {"write_dataset": 3, "pretrain": 1, "extract_features": 2, "probe": 1, "tabulate": 1}
    assert study.read("results/data_sets/mine/train.skipped.tsv").splitlines()[1].startswith(b"train/bee/003.jpg\t")
    predictions = pyarrow.parquet.read_table(study.path / "results/evaluations/mine/other/cat1.predictions.parquet")
    assert set(predictions["row"].to_pylist()) == set(range(9))
    assert set(predictions["predicted"].to_pylist()) <= {0, 2}  # masked to the classes that occur
    head, row = study.read("results/table2.csv").decode().splitlines()
    assert "mine" in head and "other" in head and row.startswith("cat1,")
