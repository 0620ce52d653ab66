"""Tests of `data_sets_file`: data sets that several studies share and can change."""

import pytest
import yaml

from tests.support.studies import ROOT
from tests.unit.config.test_model import STUDY
from workflow_scripts.timecat.config.reading import load_unique, read_config
from workflow_scripts.timecat.errors import UserError

PAPERS = ["paper", "swav", "simsiam", "seer", "vit", "families"]


@pytest.fixture
def read(tmp_path):
    """Function that reads STUDY with its data sets in a `data_sets_file`, and returns the config or the error message.

    shared: contents of the file instead of STUDY's data sets. changes: keys that replace STUDY's.
    """

    def read(shared: str | None = None, **changes):
        values = yaml.safe_load(STUDY)
        own = values.pop("data_sets")
        (tmp_path / "shared.yaml").write_text(shared or yaml.safe_dump({"data_sets": own}))
        values |= {"data_sets_file": str(tmp_path / "shared.yaml")} | changes
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
        try:
            return read_config(values, [str(tmp_path / "study.yaml")])
        except UserError as error:
            return str(error).replace(f"{tmp_path}/", "")

    return read


def test_the_study_has_the_data_sets_of_the_file(read):
    assert read().data_sets == read_config(yaml.safe_load(STUDY), []).data_sets


def test_a_study_can_change_and_add_data_sets(read):
    name, other = yaml.safe_load(STUDY)["data_sets"]
    found = read(data_sets={name: {"title": "Mine"}, "more": {"kind": "digits"}}).data_sets
    assert list(found) == [name, other, "more"] and found[name].title == "Mine"
    assert found[name].model_copy(update={"title": None}) == read().data_sets[name]


@pytest.mark.parametrize(
    ("shared", "changes", "said"),
    [
        ("data_sets: {cues: {kind: cues, viws: 1}}", {}, "shared.yaml: `data_sets.cues.viws` is not a key"),
        (None, {"data_sets": {"cues": {"viws": 1}}}, "study.yaml: `data_sets.cues.viws` is not a key"),
        (None, {"data_sets": []}, "study.yaml: `data_sets` is []; it must be a block of keys"),
        (
            "data_sets: {}\nprobe: {epochs: 4}",
            {},
            "shared.yaml: a study uses this file as its `data_sets_file`, so it must contain",
        ),
        ("[1, 2]", {}, "shared.yaml: a study uses this file as its `data_sets_file`, so it must contain"),
        ("data_sets: {cues: {kind: cues}, cues: {}}", {}, "shared.yaml: `cues` appears twice (line 1)"),
        ("data_sets: {cues: ]", {}, "shared.yaml: line 1: not YAML"),
        ("data_sets: {cues: \x07}", {}, "shared.yaml: not YAML (unacceptable character"),
        (
            None,
            {"data_sets_file": "none.yaml"},
            "study.yaml: `data_sets_file` is 'none.yaml', which cannot be read (No such",
        ),
        (None, {"data_sets_file": 3}, "study.yaml: `data_sets_file` is 3; it must be text"),
    ],
)
def test_the_error_message_names_the_file_of_a_mistake(read, shared, changes, said):
    sentences = read(shared, **changes).splitlines()
    assert any(sentence.startswith(said) for sentence in sentences), sentences


def test_studies_of_the_paper_share_one_file_of_data_sets():
    """Table 2 and the tables of all families use the same images, views and weight decays."""
    configs = {name: load_unique(str(ROOT / f"config/{name}.yaml")) for name in PAPERS}
    assert {values["data_sets_file"] for values in configs.values()} == {"config/data_sets/paper.yaml"}
    assert all("kind" not in block for name in PAPERS[1:] for block in configs[name].get("data_sets", {}).values())
    blocks = [read_config(values, []).data_sets for values in configs.values()]
    for name in ("imagenet", "inat18", "cifar100", "cifar10"):
        assert all(block[name] == blocks[0][name] for block in blocks)
