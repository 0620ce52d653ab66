"""Tests of `against` (arms that an arm is compared with besides the baseline): params of stages, refused configs."""

import json

import pytest
import yaml

from tests.support.small_study import ABSENT, DATA_SETS, study_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey

STUDY = (
    DATA_SETS
    + """
backbones:
  small: {architecture: small_residual, width: 4, blocks: 3}
  wide: {architecture: small_residual, width: 4, blocks: 3, last_width: 40}
pretrain: {seeds: [1, 2, 3, 4, 5], batch_size: 64}
arms:
  - {name: cat1, members: 1, steps: 8}
  - {name: cat2, members: 2, steps: 4}
  - {name: cat4, members: 4, steps: 2, against: [cat2]}
table1:
  arms: [cat1, cat2, cat4, wide]
controls:
  arms:
    - cat1
    - cat4_pca16
    - {name: wide, members: 1, steps: 8, backbone: wide, against: [cat4, cat4_pca16]}
    - cat4
families: {arms: [wide, cat4]}
width: {dimensions: [16]}
floors: {projection: null}
"""
)
TABLES = ("table2", "table1", "controls", "families")


def study(**changes) -> Study:
    return study_of(STUDY, **changes)


def without() -> Study:
    """Return the study without `against`."""
    values = yaml.safe_load(STUDY)
    for arm in (*values["arms"], *(arm for arm in values["controls"]["arms"] if isinstance(arm, dict))):
        arm.pop("against", None)
    return study_of(STUDY, arms=values["arms"], controls=values["controls"])


def told(text: str) -> dict[str, list[str]]:
    """Return the name and the `against` of each row that has this key, from the JSON that a stage gets."""
    return {row["name"]: row["against"] for row in json.loads(text) if "against" in row}


def test_the_table_that_defines_an_arm_gets_its_comparisons():
    params = study().table_params
    assert told(params.compared_rows(TableKey("table2"))) == {"cat4": ["cat2"]}
    assert told(params.rows_with_networks(TableKey("controls"))) == {"wide": ["cat4", "cat4_pca16"]}


def test_a_table_that_only_names_an_arm_gets_no_comparisons():
    """Table 1 and `families` only list the arm by name; comparisons are made in the table that defines it."""
    params = study().table_params
    assert told(params.rows_with_networks(TableKey("table1"))) == {}
    assert told(params.rows_with_networks(TableKey("families"))) == {}


def test_against_does_not_change_params_of_other_stages():
    made, before = study(), without()
    for name in TABLES:
        assert made.table_params.rows(TableKey(name)) == before.table_params.rows(TableKey(name))
    for params in ("calibrated_rows", "width_rows"):
        assert getattr(made.table_params, params)(None) == getattr(before.table_params, params)(None)
    for name in before.arms:
        for cell in (made.arms.cell(name, "digits"), before.arms.cell(name, "digits")):
            assert made.params.probe(cell) == before.params.probe(cell)
    without_it = before.table_params.compared_rows(TableKey("table2"))
    assert without_it == before.table_params.rows(TableKey("table2")), "no key is added to arms without comparisons"


def test_floors_and_reduced_arms_do_not_depend_on_against():
    made, before = study(), without()
    assert list(made.arms) == list(before.arms) and made.arms.floors == before.arms.floors
    assert not made.arms["cat4_pca16"].against


ROW = {"name": "cat4", "members": 4, "steps": 2}
FIRST = [{"name": "cat1", "members": 1, "steps": 8}, {"name": "cat2", "members": 2, "steps": 4}]
WIDE = {"name": "wide", "members": 1, "steps": 8, "backbone": "wide"}
DIRECT = {"name": "alone", "members": 1, "transfer": "direct"}


def arms(**changes) -> dict:
    """Return changes of the study in which cat4 has further keys and `controls` has one arm, `wide`."""
    return {"arms": [*FIRST, ROW | changes], "controls": {"arms": ["cat1", WIDE]}, "table1": ABSENT, "families": ABSENT}


MISTAKES = {
    "not a row": (
        arms(against=["cat9"]),
        "`arms`: `against` of 'cat4' names 'cat9', which is not one of the rows (cat1, cat2, cat4); add such an arm",
    ),
    "a row of another table": (
        arms() | {"controls": {"arms": ["cat1", WIDE | {"against": ["cat2"]}]}},
        "`controls.arms`: `against` of 'wide' names 'cat2', which is not one of the rows (cat1, wide)",
    ),
    "itself": (arms(against=["cat4"]), "names 'cat4', which is the arm itself; remove it"),
    "the first row": (
        arms(against=["cat1"]),
        "names 'cat1', and 'cat1' is the baseline, which all rows are compared with",
    ),
    "the baseline": (
        arms(against=["cat2"]) | {"baseline": "cat2"},
        "'cat2' is the baseline, which all rows are compared with",
    ),
    "of the baseline": (
        arms(against=["cat2"]) | {"baseline": "cat4"},
        "'cat4' is the baseline, which all rows are compared with",
    ),
    "the baseline of its table": (
        arms() | {"controls": {"arms": ["cat1", "cat2", WIDE | {"against": ["cat2"]}], "baseline": "cat2"}},
        "`controls.arms`: `against` of 'wide' names 'cat2', and 'cat2' is the baseline",
    ),
    "twice": (arms(against=["cat2", "cat2"]), "`arms.2.against`: 'cat2' is listed twice; remove one"),
    "both ways": (
        {"arms": [FIRST[0], FIRST[1] | {"against": ["cat4"]}, ROW | {"against": ["cat2"]}]},
        "`against` of 'cat4' names 'cat2', whose `against` names 'cat4'; remove one of the two",
    ),
    "gap": (
        arms() | {"gap": {"arms": ["cat1", DIRECT, WIDE | {"name": "wider", "against": ["cat1"]}]}},
        "`gap`: 'wider' has the key `against`, which only arms in `arms` and in the blocks table1, controls, families may have",
    ),
    "spurious": (
        arms() | {"spurious": {"arms": ["cat1", "cat2", WIDE | {"name": "wider", "against": ["cat2"]}]}},
        "`spurious`: 'wider' has the key `against`",
    ),
    "ceiling": (
        arms() | {"ceiling": {"arm": DIRECT | {"against": ["cat2"]}}},
        "`ceiling`: 'alone' has the key `against`",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_an_invalid_comparison_is_refused(case):
    changes, expected = MISTAKES[case]
    with pytest.raises(UserError) as error:
        study(**changes)
    assert expected in str(error.value), str(error.value)


def test_a_valid_comparison_is_accepted():
    assert study(**arms(against=["cat2"])).arms["cat4"].against == ["cat2"]
