"""Tests of reduced arms and the block `width`: rows, params, floors, no effect on other arms, refused configs."""

import json

import pytest
import yaml

from tests.support.small_study import ABSENT, ARMS, DATA_SETS, study_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey, TableKey

STUDY = (
    DATA_SETS
    + """
backbones:
  small: {architecture: small_residual, width: 4, blocks: 3}
  wide: {architecture: small_residual, width: 4, blocks: 3, last_width: 40}
pretrain: {seeds: [1, 2, 3, 4, 5], batch_size: 64}
"""
    + ARMS
    + """
controls:
  targets: [digits]
  arms:
    - cat1_pca16
    - cat2_pca16
    - {name: own, members: 2, steps: 4, reduce: {method: random, dimensions: 3}, solver: lbfgs}
    - {name: wide, members: 1, steps: 8, backbone: wide}
width: {dimensions: [4, 16, 32], targets: [digits]}
grid: {members: [1, 2], steps: [4, 8]}
"""
)
WIDTH = TableKey("width")


def study(**changes) -> Study:
    return study_of(STUDY, **changes)


def without() -> Study:
    """Return the study without reduced arms."""
    return study(width=ABSENT, controls=ABSENT)


def protocol(made: Study, arm: str) -> dict:
    """Return the training settings of an arm's probe on `digits`."""
    return json.loads(made.params.probe(CellKey("cues", "digits", arm)))


def test_each_arm_is_followed_by_its_reduced_arms():
    """Dimensions above the number of an arm's features are left out."""
    made = study()
    ones = ["cat1", "cat1_pca4", "cat1_pca16", "cat1_random4", "cat1_random16"]  # 16 features
    twos = ["cat2", *(f"cat2_{method}{width}" for method in ("pca", "random") for width in (4, 16, 32))]
    assert [arm.name for arm in made.tables.rows("width")] == ones + twos
    rows = json.loads(made.table_params.width_rows(None))
    assert [row["of"] for row in rows] == ["cat1"] * 5 + ["cat2"] * 7
    assert rows[2]["reduce"] == {"method": "pca", "dimensions": 16} and "reduce" not in rows[0]
    assert rows[2]["settings"] == {"architecture": "small_residual", "width": 4, "blocks": 3}
    assert made.tables.targets("width") == ["digits"] and made.tables.baseline("width") == "cat1"
    assert made.tables.cells("width")[1] == CellKey("cues", "digits", "cat1_pca4")
    assert "width" in made.tables.names and "width" not in without().tables.names


def test_a_reduced_arm_differs_only_in_its_probe():
    """Checkpoints and feature folders are shared with the arm whose features it reduces."""
    made = study()
    arm, whole = made.arms["cat2_pca16"], made.arms["cat2"]
    assert made.arms.checkpoints_of(arm, "cue0") == made.arms.checkpoints_of(whole, "cue0")
    cells = [CellKey("cues", "digits", name) for name in ("cat2", "cat2_pca16", "own")]
    files = [made.inputs.cell_files(cell).metrics for cell in cells]
    assert files == [f"results/probes/cues/digits/{name}.parquet" for name in ("cat2", "cat2_pca16", "own")]
    assert len({tuple(made.inputs.feature_folders(cell)) for cell in cells}) == 1
    assert protocol(made, "cat2_pca16") == protocol(made, "cat2") | {"reduce": {"method": "pca", "dimensions": 16}}
    own = protocol(made, "own")
    assert own["reduce"] == {"method": "random", "dimensions": 3} and own["solver"] == "lbfgs"


def test_reduced_arms_do_not_change_params_of_other_arms():
    made, before = study(), without()
    for arm in ("cat1", "cat2"):
        cell = CellKey("cues", "digits", arm)
        assert made.params.probe(cell) == before.params.probe(cell) and "reduce" not in made.params.probe(cell)
        assert made.inputs.feature_folders(cell) == before.inputs.feature_folders(cell)
    assert made.table_params.rows(TableKey("table2")) == before.table_params.rows(TableKey("table2"))
    assert made.table_params.grid_rows(None) == before.table_params.grid_rows(None)


def test_a_reduced_arm_is_not_used_by_the_grid():
    """A converged probe of a reduced arm does not count as the converged probe of the unreduced arm, either."""
    reduced = {"name": "pairs", "members": 2, "steps": 4, "reduce": {"method": "pca", "dimensions": 3}}
    made = study(arms=[{"name": "cat1", "members": 1, "steps": 8}, reduced], width=ABSENT, controls=ABSENT)
    assert made.arms.grid[2, 4].name == "grid2x4"
    both = [{"name": "cat2", "members": 2, "steps": 4}, reduced | {"solver": "lbfgs"}]
    (row, _) = json.loads(study(arms=both, width=ABSENT, controls=ABSENT).table_params.rows(TableKey("table2")))
    assert "converged" not in row


def test_the_floor_of_a_reduced_arm_is_reduced_in_the_same_way():
    made = study(floors={"projection": None})
    floor, whole = (made.arms.floor_of(made.arms[name]) for name in ("cat2_pca16", "cat2"))
    assert floor.all_steps == [0, 0] and floor.reduce == made.arms["cat2_pca16"].reduce
    assert floor.name != whole.name and made.arms[floor.name] == floor
    assert protocol(made, floor.name)["reduce"] == {"method": "pca", "dimensions": 16}
    measured = {key.arm for key in made.tables.references("width")}
    assert measured == {"cat1", "cat1_pca4", "cat1_pca16", "cat2", "cat2_pca4", "cat2_pca16", "cat2_pca32"}
    assert {key.arm for key in made.tables.references("controls")} >= {"own", "cat1_pca16"}


def test_width_may_set_its_arms_and_methods():
    """The baseline is the baseline of table 2 if it is one of the rows."""
    made = study(width={"arms": ["wide", "cat2"], "methods": ["pca"], "dimensions": [40]}, baseline="cat2", controls={
        "arms": [{"name": "wide", "members": 1, "steps": 8, "backbone": "wide"}]
    })  # fmt: skip
    assert [arm.name for arm in made.tables.rows("width")] == ["wide", "wide_pca40", "cat2"]
    assert made.tables.baseline("width") == "cat2" and made.tables.targets("width") == ["cues", "digits"]
    assert study(baseline="cat2", width={"arms": ["cat1"]}, controls=ABSENT).tables.baseline("width") == "cat1"


def test_arms_without_a_probe_are_left_out_of_width():
    arms = yaml.safe_load(STUDY)["arms"] + [{"name": "tuned", "members": 1, "steps": 8, "transfer": "finetune"}]
    assert not any("tuned" in arm.name for arm in study(arms=arms).tables.rows("width"))


def test_arms_are_transferred_to_targets_that_only_width_has():
    made = study(targets=["cues"], ceiling={"arm": {"name": "direct", "members": 1, "transfer": "direct"}})
    assert "digits" in made.config.targets_of_arm(made.arms["cat2_pca16"])
    assert "digits" in made.config.targets_of_arm(made.arms["cat2"])
    assert made.config.targets_of_arm(made.arms["wide"]) == ["digits"], "the targets of controls"
    assert made.config.ceiling_targets == ["digits"]


PCA3 = {"method": "pca", "dimensions": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": {"targets": ["cue9"]}}, "`width.targets`: 'cue9' is not one of the data sets"),
        ({"width": {"arms": ["cat9"]}}, "`width.arms`: 'cat9' is not one of the arms"),
        (
            {"width": {"arms": ["own"]}},
            "`width.arms`: 'own' has no probe on all of its features; remove it from the list",
        ),
        ({"width": {"dimensions": [16, 8]}}, r"width.dimensions.* is not ascending; write \[8, 16\]"),
        ({"width": {"methods": ["ica"]}}, "width.methods"),
        ({"width": ABSENT}, "`controls.arms`: 'cat1_pca16' is not one of the arms"),
        (
            {"arms": [{"name": "cat1", "members": 1, "steps": 8}, {"name": "cat1_pca4", "members": 1, "steps": 2}]},
            "`width`: 'cat1_pca4', the name of a reduced arm, is also a different arm in `arms`; rename the arm there",
        ),
        (
            {"arms": [{"name": "x", "members": 2, "steps": 8, "reduce": {"method": "pca", "dimensions": 33}}]},
            "`reduce.dimensions` of 'x' is 33, but its 2 members have only 32 features together; lower it to 32 or less",
        ),
        (
            {"arms": [{"name": "x", "members": 2, "steps": 8, "transfer": "finetune", "reduce": PCA3}]},
            "reduce`: 'x' has `transfer: finetune`, which has no probe; remove the key, or choose `transfer: probe`",
        ),
        ({"arms": [{"name": "x", "members": 2, "steps": 8, "reduce": {"method": "pca"}}]}, "dimensions"),
    ],
)  # fmt: skip
def test_a_mistake_about_reductions_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        study(**({"controls": ABSENT} if "arms" in changes else {}) | changes)


def test_a_study_without_the_block_width_is_told_to_add_it():
    with pytest.raises(UserError, match="the study has no block `width`; add it to the config"):
        without().tables.rows("width")
