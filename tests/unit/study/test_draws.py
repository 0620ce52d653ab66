"""Tests of the number of draws of a few-shot data set: defaults, params of stages and tables, and refused configs."""

import json
from types import SimpleNamespace

import pytest

from tests.support.small_study import ARMS, DATA_SETS, study_of
from workflow_scripts.timecat.config.data_sets import DRAWS
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import SplitKey, TableKey

STUDY = (
    DATA_SETS
    + """
backbones:
  small: {architecture: small_residual}
pretrain: {seeds: [1, 2, 3, 4, 5], batch_size: 64}
"""
    + ARMS
)
FEW = {"kind": "image_folder", "root": "photos", "fraction": 0.1}
OTHERS = {
    "cues": {"kind": "cues", "rows": {"train": 100, "evaluation": 50}},
    "other": {"kind": "evaluation_folder", "root": "other", "probe_of": "few"},
    "half": {"kind": "part", "of": "few", "where": {"class_name": ["ant", "bee"]}},
}


def study(few: dict | None = None, **changes) -> Study:
    """Return a study with the few-shot target `few`. few: changes to its block."""
    return study_of(STUDY, **{"targets": ["cues", "few"], "data_sets": OTHERS | {"few": FEW | (few or {})}} | changes)


def told(made: Study, data_set: str = "few", split: str = "train") -> dict:
    """Return the settings that the stage write_dataset gets for a split of a data set."""
    return json.loads(made.params.data_set(SplitKey(data_set, split)))


def test_a_target_has_five_draws_by_default():
    """A data set on which backbones are pretrained must have a single draw."""
    assert DRAWS == 5 and told(study())["draws"] == 5
    assert told(study({"draws": 3}))["draws"] == 3
    on_target = {"name": "own", "members": 1, "steps": 4, "pretrained_on": "target"}
    arm = {"name": "of_few", "members": 1, "steps": 4, "source": "few"}
    for changes in (
        {"source": "few"},
        {"arms": [on_target]},
        {"table1": {"arms": [arm | {"name": "cat3"}]}},
        {"table1": {"arms": ["cat1"], "source": "few"}},
    ):
        made = study(**changes)
        assert made.data_sets.number_of_draws("few") == 1 and "draws" not in told(made), changes
        with pytest.raises(
            UserError, match=r"data_sets.few.draws`: backbones are pretrained on 'few', so it must have one"
        ):
            study({"draws": 2}, **changes)
        study({"draws": 1}, **changes)


def test_settings_with_a_single_draw_have_no_key_draws():
    once = told(study({"draws": 1}))
    assert "draws" not in once and once == {key: value for key, value in told(study()).items() if key != "draws"}
    assert "draws" not in told(study({"fraction": 1.0}))
    with pytest.raises(
        UserError, match="few.* with `fraction: 1` each replicate uses all training rows; remove the key"
    ):
        study({"fraction": 1.0, "draws": 2})


def test_draws_change_settings_of_the_training_split_only():
    """A data set of `kind: part` uses the first draw, so its settings do not change, either."""
    made, other = study(), study({"draws": 3})
    assert told(made, split="evaluation") == told(other, split="evaluation")
    assert "draws" not in told(made, split="evaluation")
    assert told(made, "half") == told(other, "half") and "draws" not in told(made, "half")["of"]


def test_extraction_gets_the_index_if_there_are_several_draws():
    def index(made: Study, data_set: str) -> list[str]:
        """Return the index files that feature extraction gets for a data set."""
        return made.inputs.drawn_index(SimpleNamespace(data_set=data_set))

    assert index(study(), "few") == ["results/data_sets/few/train.index.parquet"]
    assert index(study({"draws": 1}), "few") == index(study(), "cues") == index(study(), "other") == []


def test_tables_get_the_number_of_draws_if_there_are_several():
    made = study(targets=["cues", "few", "other", "half"])
    columns = json.loads(made.table_params.columns(TableKey("table2")))
    assert [column.get("draws") for column in columns] == [None, 5, 5, None]
