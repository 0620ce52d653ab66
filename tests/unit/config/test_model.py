"""Tests of reading a config: each mistake gives a one-line error message with the file, the key and the remedy."""

import copy
from typing import get_args

import pytest
import yaml

from tests.support.tables import arm_of, data_sets_of
from workflow_scripts.timecat.config import arms, checks
from workflow_scripts.timecat.config.reading import load_unique, read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.tables.accuracies import accuracy_records
from workflow_scripts.timecat.tables.model import Row, Summary
from workflow_scripts.timecat.tables.writers.csv import csv_text

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
    """Function that returns the error message for STUDY with one text replaced."""

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


def test_the_study_without_a_mistake_is_accepted():
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
    "two arms of one name": (
        "name: cat2",
        "name: cat1",
        ["`arms`", "duplicate arm name 'cat1'; give each arm another name"],
    ),
    "two equal seeds": ("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 1]", ["pretrain.seeds", "1 is listed twice"]),
    "two data sets of one name": ("  digits: {", "  cues: {", ["`cues` appears twice", "line 7"]),
    "negative step": ("steps: 4", "steps: -4", ["arms.1.steps", "is -4", "at least 0"]),
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
        ["'cat2' has 2 members", "[1, 2, 3] has 3 seeds", "list as many seeds as members"],
    ),
    "replicate of an unknown seed": (
        "members: 2, steps: 4",
        "members: 2, steps: 4, replicates: [[1, 9]]",
        ["seed 9 of 'cat2' is not in pretrain.seeds"],
    ),
    "a repeated replicate": (
        "members: 2, steps: 4",
        "members: 2, steps: 4, replicates: [[1, 2], [2, 1], [1, 2]]",
        ["`arms`: the replicate [1, 2] of 'cat2' is listed twice", "remove one"],
    ),
    "views": ("arms:", "features: {views: center}\narms:", ["features.views", "the text 'center'", "or [center]"]),
    "views in a list": ("arms:", "features: {views: [centre]}\narms:", ["`features.views.0` is 'centre'", "'center'"]),
    "a repeated weight decay": (
        "arms:",
        "probe: {weight_decays: [0.1, 1, 0.10]}\narms:",
        ["`probe.weight_decays`: 0.1 is listed twice; remove one."],
    ),
    "a repeated weight decay of a data set": (
        "{kind: digits}",
        "{kind: digits, weight_decays: [1, 1.0]}",
        ["`data_sets.digits.weight_decays`: 1.0 is listed twice; remove one."],
    ),
    "no weight decay": (
        "arms:",
        "probe: {weight_decays: []}\narms:",
        ["`probe.weight_decays` has 0 values and must have at least 1: add to it"],
    ),
    "no weight decay for a data set": (
        "{kind: digits}",
        "{kind: digits, weight_decays: []}",
        ["`data_sets.digits.weight_decays` has 0 values and must have at least 1", "remove the key"],
    ),
    "beta of one": (
        "pretrain: {",
        "pretrain: {betas: [0.9, 1], ",
        ["`pretrain.betas.1` is 1; it must be less than 1."],
    ),
    "beta below zero": (
        "pretrain: {",
        "pretrain: {betas: [-0.1, 0.9], ",
        ["`pretrain.betas.0` is -0.1", "at least 0."],
    ),
    "first beta of zero": (
        "pretrain: {",
        "pretrain: {betas: [0, 0.9], ",
        ["`pretrain.betas`: the first", "0.9 is usual"],
    ),
    "a crop larger than the image": (
        "{kind: digits}",
        "{kind: digits, transform: {scale: [0.8, 1.2]}}",
        ["`data_sets.digits.transform.scale.1` is 1.2; it must be at most 1."],
    ),
    "learning rate drops out of order": (
        "arms:",
        "probe: {lr_milestones: [16, 8, 24]}\narms:",
        ["`probe.lr_milestones`: [16, 8, 24] is not ascending; write [8, 16, 24]."],
    ),
    "two learning rate drops after the same epoch": (
        "arms:",
        "probe: {lr_milestones: [8, 8]}\narms:",
        ["`probe.lr_milestones`: [8, 8] is not ascending; write [8]."],
    ),
    "a number that is not finite": ("arms:", "probe: {lr: .inf}\narms:", ["`probe.lr` is inf", "a finite number"]),
    "no near key": (
        "pretrain: {",
        "pretrain: {xyzzy: 1, ",
        ["`pretrain.xyzzy` is not a key. Allowed: seeds, milestones, batch_size"],
    ),
    "a key that is a number": ("pretrain: {", "pretrain: {7: 1, ", ["`pretrain.7` is not a key. Allowed: seeds"]),
    "a number for a block": (
        "backbone: small",
        "backbone: small\nprobe: 3",
        ["`probe` is 3; it must be a block of keys"],
    ),
    "nothing for a block": ("{kind: digits}", "", ["`data_sets.digits` is empty; it must be a block of keys"]),
    "a list for named blocks": ("  small: {", "  - {", ["`backbones` is [", "it must be a block of keys"]),
    "a number in the list of arms": ("arms:", "arms:\n  - 3", ["`arms.0` is 3; it must be a block of keys"]),
    "text for a list": ("[cues, digits]", "cues", ["`targets` is 'cues'; it must be a list, such as [a, b]."]),
    "a number for text": ("source: cues", "source: 5", ["`source` is 5; it must be text."]),
    "text for true": (
        "arms:",
        "probe: {batch_norm: 'no'}\narms:",
        ["`probe.batch_norm` is the text 'no', not true or false; write true or false without quotes."],
    ),
    "another word than allowed": (
        "arms:",
        "features: {dtype: float8}\narms:",
        ["`features.dtype` is 'float8'; it must be 'float16' or 'float32'."],
    ),
    "a data set's name with a dot": (
        "  digits: {",
        "  bad.name: {",
        ["`data_sets` has the name 'bad.name'; a name starts with a letter and has only letters, digits, _ and -."],
    ),
    "a data set's name that is a number": ("  digits: {", "  7: {", ["`data_sets` has the name 7; a name starts"]),
    "an arm's name with a space": ("name: cat2", "name: cat 2", ["`arms.1.name` is 'cat 2'; a name starts"]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_gives_a_one_line_message_with_the_remedy(case, mistake):
    old, new, expected = CASES[case]
    message = mistake(old, new)
    for text in expected:
        assert text in message, message


@pytest.mark.parametrize("name", ["digits_std", "digits_holdout", "digits_holdout_std", "method", "replicates"])
def test_a_data_set_with_the_name_of_another_column_is_refused(name, mistake):
    message = mistake("  digits: {", f"  {name}: {{kind: digits}}\n  digits: {{")
    assert message == f"`data_sets`: {name!r} is the name of another column of the table; rename the data set."


def test_the_reserved_names_are_the_columns_of_the_table():
    described = arm_of(name="a", members=1, steps=1, parameters=1, published={"x": 1.0})
    summaries = {("x", selection): Summary(1.0, None, 1) for selection in SELECTIONS}
    data_sets = data_sets_of([{"name": "x", "title": "x", "in_distribution": False}])
    header = csv_text(accuracy_records([Row(described, 1, summaries)], data_sets)).splitlines()[0].split(",")
    own = [column for column in header if column != "x"]
    assert all(column in checks.TABLE_COLUMNS or column.endswith(checks.TABLE_ENDINGS) for column in own)
    assert set(checks.TABLE_COLUMNS) <= set(own)


def test_a_seed_may_be_repeated_inside_a_replicate():
    """The members of such a replicate are copies of one checkpoint, which serve as a control."""
    values = yaml.safe_load(STUDY)
    values["arms"][1]["replicates"] = [[1, 1], [2, 2]]
    assert read_config(values, []).arms[1].replicates == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [("lr", "0.1", "a number"), ("lr", "1e-4", "a number"), ("batch_norm", "false", "true or false")],
)
def test_text_from_the_command_line_gets_a_different_remedy(key, text, kind, tmp_path):
    """Snakemake reads ``--config 'probe={lr: 0.1}'`` as the text 0.1, so advice to remove quotes would not help."""
    file = tmp_path / "study.yaml"
    file.write_text(STUDY + "probe: {epochs: 4, lr: 0.05}\n")
    values = yaml.safe_load(file.read_text())
    values["probe"][key] = text
    with pytest.raises(UserError) as error:
        read_config(values, [str(file)])
    assert str(error.value) == (
        f"--config: `probe.{key}` is the text {text!r}, not {kind}; values in braces or brackets on the command line "
        "arrive as text: put them in a YAML file and pass it with --configfile."
    )


def test_the_file_with_the_mistake_is_named(tmp_path):
    files = [tmp_path / "first.yaml", tmp_path / "second.yaml"]
    files[0].write_text(STUDY)
    files[1].write_text("probe: {epochs: 4}\n")
    values = yaml.safe_load(STUDY) | {"probe": {"epochs": 4}}
    values["pretrain"]["betas"] = [0, 0.9]
    with pytest.raises(UserError, match=r"^\S*first.yaml: `pretrain.betas`"):
        read_config(values, [str(file) for file in files])
    values = yaml.safe_load(STUDY) | {"probe": {"epochs": 0}}
    files[1].write_text("probe: {epochs: 0}\narms: []\n")
    with pytest.raises(UserError, match=r"^\S*second.yaml: `probe.epochs` is 0"):
        read_config(values, [str(file) for file in files])
    values["probe"] = {}
    values["arms"].append({"name": "cat3", "members": 3, "steps": -1})
    files[1].write_text(yaml.safe_dump({"arms": values["arms"]}))  # a longer list than in the first file
    with pytest.raises(UserError, match=r"^\S*second.yaml: `arms.2.steps` is -1"):
        read_config(values, [str(file) for file in files])


def test_a_merged_key_may_be_overridden_once(tmp_path):
    """A block may set keys again that it gets through YAML's merge key `<<`."""
    file = tmp_path / "merged.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b], x: 4}\n")
    assert load_unique(str(file)) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 4, "y": 3}}
    file.write_text("a: &a {x: 1}\nb: {<<: *a, y: 3, y: 4}\n")
    with pytest.raises(UserError, match="`y` appears twice"):
        load_unique(str(file))


def test_the_error_message_names_the_command_line(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    with pytest.raises(UserError) as error:
        read_config(yaml.safe_load(STUDY) | {"torch_threads": "x"}, [str(file)])
    assert str(error.value) == "--config: `torch_threads` is the text 'x', not a number; write a number."


def test_two_mistakes_give_two_lines():
    values = yaml.safe_load(STUDY)
    values["pretrain"]["lr"] = "1e-4"
    values["arms"][0]["steps"] = -1
    with pytest.raises(UserError) as error:
        read_config(values, [])
    assert len(str(error.value).splitlines()) == 2


def study(**changes) -> Study:
    values = copy.deepcopy(yaml.safe_load(STUDY))
    values.update(changes)
    return Study(read_config(values, []))


def test_replicates_are_disjoint_groups_of_seeds_in_order():
    made = study()
    assert made.arms.replicates(made.arms["cat1"]) == [[1], [2], [3], [4], [5]]
    assert made.arms.replicates(made.arms["cat2"]) == [[1, 2], [3, 4]]


def test_milestones_include_the_steps_of_all_arms():
    assert study(pretrain={"seeds": [1, 2], "milestones": [6]}).chains.milestones == [4, 6, 8]


def test_views_are_numbered_or_center():
    assert study(features={"views": 3}).data_sets.view_names("digits") == ["view0", "view1", "view2"]
    assert study(features={"views": ["center"]}).data_sets.view_names("digits") == ["center"]


def test_a_probe_requests_memory_for_its_features_too():
    """The stage gets the memory in GB as text, because Snakemake would round the number."""
    made = study(limits={"memory_gb": 0.25, "memory_mb": 1000})
    assert (made.resources.feature_memory_gb, made.resources.probe_memory_mb) == ("0.25", 1250)


def test_transfers_use_init_std_of_the_probe():
    values = yaml.safe_load(STUDY) | {"probe": {"init_std": 0.25}}
    values["arms"] += [{"name": "direct", "members": 1, "transfer": "direct"}]
    config = read_config(values, [])
    assert config.transfer_settings(config.all_arms["direct"]).init_std == 0.25


def test_calibration_accepts_all_tables_other_than_table_2():
    assert get_args(arms.TableBlock) == (*arms.TABLES, *arms.OTHER_TABLES)
