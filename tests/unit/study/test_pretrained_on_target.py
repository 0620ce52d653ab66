"""Tests of arms that are pretrained on each target itself: checkpoints, files, floors, and refused configs."""

import json

import pytest
import yaml

from tests.support.small_study import DATA_SETS
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey, TableKey

STUDY = (
    DATA_SETS
    + """
  mixture: {kind: cues, components: 2, rows: {train: 100, evaluation: 50}}
  part0: {kind: part, of: mixture, where: {component: [0]}}
  part1: {kind: part, of: mixture, where: {component: [1]}}
backbones:
  small: {architecture: small_residual}
pretrain: {seeds: [1, 2, 3], batch_size: 64}
arms:
  - {name: cat1, members: 1, steps: 8}
gap:
  source: mixture
  targets: [part0, part1]
  arms:
    - {name: mixed, members: 1, steps: 6}
    - {name: alone, members: 1, transfer: direct}
"""
)
OWN = {"name": "own", "members": 1, "steps": 6, "pretrained_on": "target"}
PAIR = {"name": "pair", "members": 2, "steps": 4, "pretrained_on": "target", "transfer": "finetune"}
DIRECT = {"name": "alone", "members": 1, "transfer": "direct"}
FOLDER = {"kind": "evaluation_folder", "root": "images", "probe_of": "part0"}


def study(*arms, **changes) -> Study:
    """Return the study with further arms in its table of gaps."""
    values = yaml.safe_load(STUDY) | changes
    values["gap"]["arms"] += arms
    return Study(read_config(values, []))


def test_checkpoints_are_pretrained_on_each_target():
    made = study(OWN)
    for part in ("part0", "part1"):
        assert made.arms.cell("own", part) == CellKey(part, part, "own")
        assert made.arms.checkpoints_of(made.arms["own"], part) == [
            [CheckpointKey(part, "small", seed, 6)] for seed in (1, 2, 3)
        ]
        key = made.arms.cell("own", part)
        assert made.inputs.feature_folders(key)[0] == f"results/features/{part}/small/seed1/step6/{part}"
        assert made.inputs.cell_files(key).metrics == f"results/probes/{part}/{part}/own.parquet"
    assert made.inputs.metrics(TableKey("gap"))[-2:] == [f"results/probes/part{n}/part{n}/own.parquet" for n in (0, 1)]


def test_an_arm_pretrained_on_the_target_may_be_fine_tuned():
    """All arms that are pretrained on a target share one chain of checkpoints."""
    made = study(OWN, PAIR)
    assert made.inputs.member_weights(made.arms.cell("pair", "part1")) == [
        f"results/checkpoints/part1/small/seed{seed}/step4.safetensors" for seed in (1, 2)
    ]
    assert made.chains.milestones_of("small", "part0") == made.chains.milestones_of("small", "part1") == [4, 6]
    assert made.chains.previous_step("part0", "small", 6) == 4


def test_an_arm_pretrained_on_the_target_does_not_change_other_arms():
    before, after = study(), study(OWN, floors={})
    assert before.chains.milestones_of("small", "mixture") == after.chains.milestones_of("small", "mixture") == [6]
    assert before.chains.milestones == after.chains.milestones == [8]
    for arm in ("cat1", "mixed", "alone"):
        for part in ("part0", "part1"):
            key = before.arms.cell(arm, part)
            assert after.arms.cell(arm, part) == key
            assert after.inputs.cell_files(key) == before.inputs.cell_files(key)
            assert after.params.replicates(key) == before.params.replicates(key)
            if arm != "alone":
                assert after.inputs.feature_folders(key) == before.inputs.feature_folders(key)


def test_tables_mark_rows_that_are_pretrained_on_the_target():
    rows = json.loads(study(OWN).table_params.rows(TableKey("gap")))
    assert [row.get("on_target") for row in rows] == [None, None, True]


def test_the_floor_has_batch_norm_statistics_of_the_target():
    made = study(OWN, floors={})
    floors = {name: made.arms.floor_of(made.arms[name]) for name in ("mixed", "own")}
    assert floors["own"].name != floors["mixed"].name, "batch-norm statistics differ"
    assert made.arms.checkpoints_of(floors["own"], "part1")[0] == [CheckpointKey("part1", "small", 1, 0)]
    assert made.inputs.initial_images(CheckpointKey("part1", "small", 1, 0)) == "results/data_sets/part1/train.beton"
    cells = {key.arm: key.cell for key in made.tables.references("gap") if key.cell.data_set == "part1"}
    assert cells["own"] == CellKey("part1", "part1", floors["own"].name)


def test_the_grid_uses_no_arm_pretrained_on_the_target():
    """The features of such an arm differ from the features of an arm with the same seeds and steps on the source."""
    own = OWN | {"name": "cat1_own", "steps": 8}
    made = study(own, grid={"members": [1], "steps": [8]})
    assert made.arms.grid[1, 8].name == "cat1"
    assert not made.arms.are_alike(made.arms["cat1"], made.arms["cat1_own"])
    assert made.arms.are_alike(made.arms["cat1_own"], made.arms["cat1_own"])


@pytest.mark.parametrize(
    ("arm", "changes", "message"),
    [
        (
            {"name": "own", "members": 1, "transfer": "direct", "pretrained_on": "target"},
            {},
            "pretrained_on`: an arm with `transfer: direct` is not pretrained; remove the key",
        ),
        (OWN | {"pretrained_on": "digits"}, {}, "pretrained_on"),
        (OWN | {"source": "digits"}, {}, "source`: 'own' is pretrained on each target itself; remove the key"),
        (
            OWN,
            {"checkpoints": {"path": "{run}_{step}.pt"}, "gap": {"targets": ["part0"], "arms": [DIRECT]}},
            "'own' is pretrained on each target, but its backbone 'small' has published weights (`checkpoints`)",
        ),
        (
            PAIR,
            {
                "data_sets": yaml.safe_load(STUDY)["data_sets"] | {"part1": FOLDER},
                "gap": {"targets": ["part1"], "arms": [OWN, DIRECT]},
            },
            "'own' has `pretrained_on: target`, but 'part1' has no training rows; remove that data set",
        ),
    ],
)
def test_an_inconsistent_arm_pretrained_on_the_target_is_refused(arm, changes, message):
    with pytest.raises(UserError) as error:
        study(arm, **changes)
    assert message in str(error.value)
