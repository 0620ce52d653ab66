"""Run studies whose images (`data_dir`) or .beton files (`scratch_dir`) are outside the project."""

import json

import pytest
import yaml

from tests.support.studies import ROOT, TINY, StudyFolder
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import SplitKey


def on_scratch(study: StudyFolder, folder) -> StudyFolder:
    def change(values):
        values["scratch_dir"] = str(folder)
        values["limits"] = {"forkserver": True}

    study.change_config(change)
    return study


def test_beton_files_on_scratch_give_the_same_table(finished, tmp_path):
    study = on_scratch(StudyFolder.fresh(tmp_path / "study"), tmp_path / "scratch/timecat")
    study.snakemake("--", "results/table2.csv")
    assert study.read("results/table2.csv") == finished.read("results/table2.csv")
    assert (study.path / "results/data_sets").is_symlink()
    assert (tmp_path / "scratch/timecat/cues_tiny/train.beton").read_bytes() == finished.read(
        "results/data_sets/cues_tiny/train.beton"
    )
    assert study.run("--", "results/table2.csv") == {}


@pytest.mark.parametrize("is_link", [False, True])
def test_a_data_sets_folder_that_is_no_scratch_link_is_refused(tmp_path, is_link):
    """results/data_sets must be a link into `scratch_dir`; here it is a folder, or a link to a different folder."""
    study = on_scratch(StudyFolder.fresh(tmp_path / "study"), tmp_path / "scratch")
    place = study.path / "results/data_sets"
    if is_link:
        (tmp_path / "other").mkdir()
        place.symlink_to(tmp_path / "other")
    else:
        place.mkdir(parents=True)
    done = study.snakemake("-n", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "scratch_dir: results/data_sets is a " in said and "Traceback" not in said
    assert ("remove the link" in said) == is_link


def test_roots_are_relative_to_data_dir():
    values = yaml.safe_load((ROOT / TINY).read_text()) | {"data_dir": "/datasets"}
    values["data_sets"] |= {name: {"kind": "image_folder", "root": root} for name, root in (("a", "a/b"), ("c", "/c"))}
    study = Study(Config.model_validate(values))
    for name, root in (("a", "/datasets/a/b"), ("c", "/c")):
        assert json.loads(study.params.data_set(SplitKey(name, "train")))["root"] == root
    assert "root" not in json.loads(study.params.data_set(SplitKey("cues_tiny", "train")))
