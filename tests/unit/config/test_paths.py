"""Tests of paths in a config: `~`, the folder of results, and the folders in which `data_sets_file` is searched."""

import pytest
import yaml

from tests.unit.config.test_model import STUDY
from workflow_scripts.timecat.artifacts import project
from workflow_scripts.timecat.config.checkpoints import Checkpoints
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study


def read(**changes):
    return read_config(yaml.safe_load(STUDY) | changes, [])


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Temporary folder that replaces the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("key", ["data_dir", "results_dir", "scratch_dir"])
def test_a_tilde_is_the_home_folder(home, key):
    assert getattr(read(**{key: "~/of/mine"}), key) == f"{home}/of/mine"
    assert getattr(read(**{key: "of/~mine"}), key) == "of/~mine"
    with pytest.raises(UserError, match=f"`{key}`.*no such home folder"):
        read(**{key: "~nobody-has-this-name/x"})


def test_a_tilde_is_the_home_folder_in_nested_keys(home):
    folder = {"kind": "image_folder", "root": "~/images"}
    data_sets = yaml.safe_load(STUDY)["data_sets"]
    assert read(data_sets=data_sets | {"mine": folder}).data_sets["mine"].root == f"{home}/images"
    assert read(data_sets=data_sets | {"mine": folder}, data_dir="/data").data_sets["mine"].root == f"{home}/images"
    published = Checkpoints(path="~/{seed}.pt", archive="~/all.tar", sha256={"~/1.pt": "0" * 64})
    assert published.fill(1, 0, 9) == f"{home}/1.pt" and published.archive == f"{home}/all.tar"
    assert list(published.sha256) == [f"{home}/1.pt"]
    assert read(container={"bootstrap": "localimage", "base": "~/base.sif"}).container.base == f"{home}/base.sif"


def test_results_are_in_results_dir():
    assert Study(read()).paths.root == "results"
    for written in ("other", "./other/", "more/../other"):
        paths = Study(read(results_dir=written)).paths
        assert paths.table.at(table="table2").csv == "other/table2.csv"
        assert paths.log("probe").startswith("other/logs/")
    assert Study(read(results_dir="/far/away/")).paths.metrics == "/far/away/metrics.parquet"


@pytest.mark.parametrize("folder", ["", ".", "./", "a/..", "/", "of_{seed}", "s3://bucket"])
def test_an_invalid_folder_of_results_is_refused(folder):
    with pytest.raises(UserError, match="`results_dir`"):
        read(results_dir=folder)


def test_a_data_sets_file_is_searched_in_two_folders(home, monkeypatch, tmp_path):
    """The working directory comes first, then the project's folder."""
    (tmp_path / "here/config").mkdir(parents=True)
    (tmp_path / "clone/config").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(project, "ROOT", tmp_path / "clone")
    values = yaml.safe_load(STUDY)
    own = values.pop("data_sets")
    values["data_sets_file"] = "config/shared.yaml"
    with pytest.raises(UserError, match="config/shared.yaml.*cannot be read"):
        read_config(values, [])
    (tmp_path / "clone/config/shared.yaml").write_text(yaml.safe_dump({"data_sets": own}))
    assert list(read_config(values, []).data_sets) == list(own)
    mine = {name: block | {"title": "Mine"} for name, block in own.items()}
    (tmp_path / "here/config/shared.yaml").write_text(yaml.safe_dump({"data_sets": mine}))
    assert {block.title for block in read_config(values, []).data_sets.values()} == {"Mine"}
    (tmp_path / "here/config/shared.yaml").rename(tmp_path / "shared.yaml")
    assert read_config(values | {"data_sets_file": "~/shared.yaml"}, []).data_sets
