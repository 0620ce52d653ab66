"""Write data sets of image files, and check which jobs rerun if the config or the folder changes."""

import pyarrow.parquet

from tests.support.images import draw_folder, draw_image_folder
from tests.support.studies import StudyFolder

TARGETS = [f"results/data_sets/{name}.beton" for name in ("mine/train", "mine/evaluation", "other/evaluation")]


def test_each_split_is_written_again_only_when_its_inputs_change(tmp_path):
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

    # Few-shot: only the training rows change.
    study.change_config(lambda values: values["data_sets"]["mine"].update(fraction=0.5))
    assert run("-n") == {"write_dataset": 1}
    # Settings of later stages do not concern the writer.
    study.change_config(
        lambda values: values["data_sets"]["mine"].update(fraction=1.0, title="Mine", views=2, transform={"size": 32})
    )
    assert run("-n") == {}
    # The folder moves. Its splits are written again with equal bytes, so jobs that depend on them stay finished in the
    # next run. (In the same run they would, because Snakemake decides before it knows the bytes.)
    (study.path / "photos").rename(study.path / "moved")
    study.change_config(lambda values: values["data_sets"]["mine"].update(root="moved"))
    assert study.run("--", *TARGETS[:2]) == {"write_dataset": 2}
    assert run("-n") == {}
    # An additional class changes the numbers of all labels, also in the folder for evaluation only.
    draw_image_folder(study.path / "moved", {"ape": 4})
    assert run("--forcerun", *TARGETS[:2]) == {"write_dataset": 3}


def test_a_study_of_image_files_makes_its_table(tmp_path):
    """The study pretrains and probes on a user's folder, and evaluates on a folder with some of its classes."""
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
    assert set(predictions["predicted"].to_pylist()) <= {0, 2}  # logits of classes that do not occur are masked
    head, row = study.read("results/table2.csv").decode().splitlines()
    assert "mine" in head and "other" in head and row.startswith("cat1,")
