"""Data sets of image files under Snakemake: a job per split, and what follows a change of the config or of the folder."""

from tests.images import draw_folder, draw_image_folder
from tests.studies import StudyFolder

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
