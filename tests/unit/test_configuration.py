"""A mistake in the config is one sentence that names the file, the key and the remedy."""

import copy

import pytest
import yaml

from workflow_scripts.timecat.artifacts import UserError
from workflow_scripts.timecat.configuration_errors import read_config
from workflow_scripts.timecat.study import Study

STUDY = """
source: cues
targets: [cues, digits]
backbone: small
data_sets:
  cues: {kind: cues, rows: {train: 100, evaluation: 50}}
  digits: {kind: digits}
backbones:
  small: {architecture: small_residual}
pretrain: {seeds: [1, 2, 3, 4, 5]}
arms:
  - {name: cat1, members: 1, steps: 8}
  - {name: cat2, members: 2, steps: 4}
"""


@pytest.fixture
def mistake(tmp_path):
    """The message for STUDY with one text replaced."""

    def read(old: str, new: str) -> str:
        assert old in STUDY
        file = tmp_path / "study.yaml"
        file.write_text(STUDY.replace(old, new))
        with pytest.raises(UserError) as error:
            read_config(yaml.safe_load(file.read_text()), [str(file)])
        message = str(error.value)
        assert message.startswith(f"{file}: ") and "\n" not in message, message
        return message.removeprefix(f"{file}: ")

    return read


def test_the_study_itself_is_accepted():
    assert read_config(yaml.safe_load(STUDY), []).probe.epochs == 28


CASES = {
    "unknown key": (
        "pretrain: {",
        "pretrain: {label_smoothin: 0.1, ",
        ["pretrain.label_smoothin", "did you mean `label_smoothing`"],
    ),
    "unknown key in a data set": (
        "{kind: digits}",
        "{kind: digits, sed: 3}",
        ["data_sets.digits.sed", "did you mean `seed`"],
    ),
    "unknown key at the top": (
        "source: cues",
        "source: cues\nsorce: x",
        ["`sorce` is not a key", "did you mean `source`"],
    ),
    "exponent without a dot": (
        "pretrain: {",
        "pretrain: {lr: 1e-4, ",
        ["pretrain.lr", "YAML 1.1", "1.0e-4", "0.0001."],
    ),
    "exponent without a dot in a list": (
        "arms:",
        "probe: {weight_decays: [0.1, 5e-4]}\narms:",
        ["probe.weight_decays.1", "5.0e-4", "0.0005."],
    ),
    "a number in quotes": ("steps: 8", "steps: '8'", ["arms.0.steps", "the text '8'", "without quotes"]),
    "a fraction for a whole number": ("steps: 8", "steps: 8.5", ["arms.0.steps", "8.5"]),
    "too few seeds": ("members: 2", "members: 6", ["'cat2' needs 6 seeds", "pretrain.seeds has 5", "add 1 or lower"]),
    "two arms of one name": ("name: cat2", "name: cat1", ["arms", "'cat1' stands there twice"]),
    "two equal seeds": ("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 1]", ["pretrain.seeds", "1 stands there twice"]),
    "two data sets of one name": ("  digits: {", "  cues: {", ["`cues` stands there twice", "line 7"]),
    "step zero": ("steps: 4", "steps: 0", ["arms.1.steps", "is 0", "greater than 0"]),
    "negative step": ("steps: 4", "steps: -4", ["arms.1.steps", "is -4", "greater than 0"]),
    "unknown target": (
        "[cues, digits]",
        "[cues, digit]",
        ["targets", "'digit' is not one of the data sets (cues, digits)"],
    ),
    "unknown source": ("source: cues", "source: cue", ["source", "'cue' is not one of the data sets"]),
    "unknown kind": ("kind: digits", "kind: letters", ["data_sets.digits.kind", "letters", "'cues', 'digits'"]),
    "missing block": ("pretrain: {seeds: [1, 2, 3, 4, 5]}", "", ["`pretrain` is missing"]),
    "missing key": ("rows: {train: 100, evaluation: 50}", "seed: 2", ["`data_sets.cues.rows` is missing"]),
    "replicate of the wrong length": (
        "members: 2, steps: 4",
        "members: 2, steps: 4, replicates: [[1, 2, 3]]",
        ["'cat2' has 2 members", "[1, 2, 3] has 3 seeds"],
    ),
    "replicate of an unknown seed": (
        "members: 2, steps: 4",
        "members: 2, steps: 4, replicates: [[1, 9]]",
        ["seed 9 of 'cat2' is not in pretrain.seeds"],
    ),
    "views": ("arms:", "features: {views: center}\narms:", ["features.views"]),
}


@pytest.mark.parametrize("case", CASES)
def test_mistakes(case, mistake):
    old, new, expected = CASES[case]
    message = mistake(old, new)
    for text in expected:
        assert text in message, message


def test_each_mistake_gets_its_own_sentence():
    values = yaml.safe_load(STUDY)
    values["pretrain"]["lr"] = "1e-4"
    values["arms"][0]["steps"] = 0
    with pytest.raises(UserError) as error:
        read_config(values, [])
    assert len(str(error.value).splitlines()) == 2


def study(**changes) -> Study:
    values = copy.deepcopy(yaml.safe_load(STUDY))
    values.update(changes)
    return Study(read_config(values, []))


def test_replicates_are_disjoint_groups_in_order():
    made = study()
    assert made.replicates(made.arms["cat1"]) == [[1], [2], [3], [4], [5]]
    assert made.replicates(made.arms["cat2"]) == [[1, 2], [3, 4]]


def test_milestones_are_of_all_arms_and_extra_ones():
    assert study(pretrain={"seeds": [1, 2], "milestones": [6]}).milestones == [4, 6, 8]


def test_view_names():
    assert study(features={"views": 3}).view_names("digits") == ["view0", "view1", "view2"]
    assert study(features={"views": ["center"]}).view_names("digits") == ["center"]
