"""Tests of floors and ceilings: their arms, the cells that tables are compared with, and refused configs."""

import json

import pytest
import yaml

from tests.support.small_study import ABSENT, ARMS, DATA_SETS, study_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey, ReferenceKey, TableKey

STUDY = (
    DATA_SETS
    + """
backbones:
  small: {architecture: small_residual}
  wide: {architecture: small_residual, width: 16}
  plain: {architecture: small_residual, pretrain: {label_smoothing: 0.0, ghost_batch: 16}}
pretrain: {seeds: [1, 2, 3, 4, 5], batch_size: 64}
"""
    + ARMS
    + """
table1:
  targets: [digits]
  arms:
    - cat1
    - {name: short, members: 1, steps: 2}
    - {name: wide, members: 1, steps: 6, backbone: wide, seeds: [1, 2]}
    - {name: copies, members: 2, steps: 8, one_seed: true}
    - {name: snapshots, members: 2, steps: [4, 8], one_seed: true}
    - {name: tuned, members: 1, steps: 8, transfer: finetune}
    - {name: direct, members: 1, transfer: direct}
ceiling: {arm: direct}
floors: {}
"""
)
TABLE2, TABLE1 = TableKey("table2"), TableKey("table1")


def study(**changes) -> Study:
    return study_of(STUDY, **changes)


def floor(made: Study, name: str):
    """Return the floor of an arm, given by name."""
    return made.arms.floor_of(made.arms[name])


def seeds(made: Study, name: str) -> list[list[int]]:
    """Return the replicates of an arm's floor, as lists of seeds."""
    return made.arms.replicates(floor(made, name))


def test_a_floor_is_the_untrained_arm_with_the_same_seeds():
    made = study()
    found = floor(made, "cat2")
    assert (found.members, found.steps, found.transfer) == (2, 0, "probe")
    assert made.arms.checkpoints_of(found, "digits") == [
        [CheckpointKey("cues", "small", seed, 0) for seed in replicate] for replicate in ((1, 2), (3, 4))
    ]


def test_arms_that_differ_only_in_steps_share_a_floor():
    made = study()
    assert floor(made, "cat1") == floor(made, "short")
    assert floor(made, "copies") == floor(made, "snapshots")
    names = [floor(made, name).name for name in ("cat1", "cat2", "wide", "copies", "tuned")]
    assert len(set(names)) == len(names)


def test_a_floor_keeps_its_name_when_other_arms_and_keys_change():
    arms = [{"name": "first", "members": 1, "steps": 3}, {"name": "cat1", "members": 1, "steps": 9}]
    assert floor(study(), "cat1").name == floor(study(arms=arms), "cat1").name


def test_an_arm_without_pretraining_has_no_floor():
    made = study(arms=[{"name": "cat1", "members": 1, "steps": 8}, {"name": "zero", "members": 1, "steps": 0}])
    assert floor(made, "direct") is None
    assert floor(made, "zero") is None


def test_floors_seeds_limits_the_replicates_of_floors():
    """At least one replicate is left, even if it needs more seeds."""
    made = study(floors={"seeds": 2})
    assert seeds(made, "cat1") == [[1], [2]]
    assert seeds(made, "cat2") == [[1, 2]]
    made = study(floors={"seeds": 1})
    assert seeds(made, "cat1") == [[1]]
    assert seeds(made, "cat2") == [[1, 2]]
    assert seeds(made, "copies") == [[1, 1]]


def test_step_0_is_not_a_milestone_of_a_chain():
    arms = [{"name": "zero", "members": 1, "steps": 0}, {"name": "cat1", "members": 1, "steps": 8}]
    made = study(arms=arms, table1=ABSENT, ceiling=ABSENT)
    assert made.chains.milestones == [8]
    assert made.chains.previous_step("cues", "small", 8) is None
    assert made.inputs.previous_state(CheckpointKey("cues", "small", 1, 8)) == []


def test_a_table_is_compared_with_floors_projection_and_ceiling():
    """The source, `cues`, has no references, because arms are not transferred to it."""
    made = study()
    floors = [
        ReferenceKey("floor", name, CellKey("cues", "digits", floor(made, name).name)) for name in ("cat1", "cat2")
    ]
    projection = ReferenceKey("projection", "", CellKey("cues", "digits", made.arms.projection.name))
    ceiling = ReferenceKey("ceiling", "", CellKey("cues", "digits", "direct"))
    assert made.tables.references("table2") == [*floors, projection, ceiling]
    assert json.loads(made.table_params.references(TABLE2))[0] == {
        "kind": "floor",
        "arm": "cat1",
        "data_set": "digits",
        "members": 1,
    }
    assert [path.rpartition("/")[2] for path in made.inputs.references(TABLE2)] == [
        f"{floors[0].cell.arm}.parquet",
        f"{floors[1].cell.arm}.parquet",
        f"{projection.cell.arm}.parquet",
        "direct.parquet",
    ]


def test_the_grid_is_compared_with_floors_only():
    made = study(grid={"members": [1, 2]})
    assert {key.kind for key in made.tables.references("grid")} == {"floor"}
    assert {key.arm for key in made.tables.references("grid")} == {arm.name for arm in made.tables.rows("grid")}


OTHERS = """
data_sets:
  mixture: {kind: cues, components: 2, rows: {train: 100, evaluation: 50}}
  part: {kind: part, of: mixture, where: {component: [0]}}
  biased: {kind: shortcut, rows: {train: 100, evaluation: 50}}
  even: {kind: part, of: biased, balanced_by: [class_name, place]}
  motifs: {kind: motifs, length: 60, rows: {train: 100, evaluation: 50}}
  single: {kind: part, of: motifs, where: {task: [single]}}
backbones:
  sequence: {architecture: sequence_residual}
gap:
  source: mixture
  targets: [part]
  arms: [{name: mixed, members: 1, steps: 8}, {name: alone, members: 1, transfer: direct}]
spurious:
  source: biased
  targets: [biased, even]
  arms: [{name: probed, members: 1, steps: 8}, {name: again, members: 1, steps: 8, transfer: reweight}]
genomics:
  source: motifs
  backbone: sequence
  targets: [single]
  arms: [{name: dna, members: 1, steps: 8}, {name: dna_alone, members: 1, transfer: direct}]
"""


def with_others(**changes) -> Study:
    """Return the study with tables whose metrics are computed from predictions."""
    values, others = yaml.safe_load(STUDY), yaml.safe_load(OTHERS)
    for name in ("data_sets", "backbones"):
        others[name] = values[name] | others[name]
    return study(**others | changes)


def test_gaps_and_worst_groups_are_compared_with_floors():
    """Arms are also compared with the projection of the pixels, except for sequences, which have no pixels."""
    made = with_others()
    found = {
        table: [(key.kind, key.arm, key.cell.data_set) for key in made.tables.references(table)]
        for table in ("gap", "spurious", "genomics")
    }
    assert found["gap"] == [("floor", "mixed", "part"), ("projection", "", "part")]
    assert found["spurious"] == [
        *(("floor", arm, name) for arm in ("probed", "again") for name in ("biased", "even")),
        *(("projection", "", name) for name in ("biased", "even")),
    ], "the source counts in the table of worst groups"
    assert found["genomics"] == [("floor", "dna", "single")], "sequences have no pixels"
    floor = floor_of_reweighted(made)
    assert made.inputs.reference_predictions(TableKey("spurious"))[3] == (
        f"results/reweightings/biased/even/{floor}.predictions.parquet"
    )
    assert made.inputs.reference_predictions_sidecars(TableKey("spurious"))[3].endswith(
        f"even/{floor}.predictions.parquet.json"
    )


def test_a_table_with_a_metric_other_than_accuracy_has_no_ceiling():
    made = study(gap={"targets": ["digits"], "metric": "mcc", "arms": ["cat1", "direct"]})
    assert {key.kind for key in made.tables.references("table2")} == {"floor", "projection", "ceiling"}
    assert {key.kind for key in made.tables.references("gap")} == {"floor", "projection"}


def floor_of_reweighted(made: Study) -> str:
    """Return the name of the floor of the reweighted arm `again`."""
    found = floor(made, "again")
    assert found.transfer == "reweight" and found.steps == 0
    return found.name


def test_gaps_and_worst_groups_without_floors_have_no_references():
    made = with_others(floors=None)
    for table in ("gap", "spurious", "genomics"):
        assert made.tables.references(table) == [] == made.inputs.reference_predictions(TableKey(table))


def test_the_table_of_worst_groups_has_a_baseline():
    assert with_others().table_params.baseline(TableKey("spurious")) == "probed"
    block = yaml.safe_load(OTHERS)["spurious"]
    assert with_others(spurious=block | {"baseline": "again"}).table_params.baseline(TableKey("spurious")) == "again"


def test_a_known_ceiling_replaces_the_arm_of_the_ceiling():
    made = study(ceiling={"arm": "direct", "known": {"digits": 97.5}})
    assert all(key.kind != "ceiling" for key in made.tables.references("table2"))
    assert json.loads(made.table_params.known_ceilings(TABLE2)) == {"digits": 97.5}


def test_a_study_may_have_no_floors():
    made = study(floors=None)
    assert made.arms.projection is None and floor(made, "cat1") is None
    assert {key.kind for key in made.tables.references("table2")} == {"ceiling"}
    assert "pixels" not in made.config.backbones


def test_untrained_networks_depend_on_few_keys_of_the_recipe():
    """The learning rate does not affect them; the batch size does, through batch-norm statistics."""
    made = study()
    key = CheckpointKey("cues", "small", 1, 0)
    faster = study(pretrain={"seeds": [1, 2, 3, 4, 5], "batch_size": 64, "lr": 0.5, "label_smoothing": 0.3})
    assert made.params.beginning(key) == faster.params.beginning(key)
    larger = study(pretrain={"seeds": [1, 2, 3, 4, 5], "batch_size": 32})
    assert made.params.beginning(key) != larger.params.beginning(key)


def test_images_of_the_first_target_replace_an_unavailable_source():
    """Untrained networks compute batch-norm statistics from them if published weights make the source unnecessary."""
    made = study()
    assert made.data_sets.seen_first("cues", published=False) == "cues"
    assert made.data_sets.seen_first("cues", published=True) == "cues"  # a target is available
    elsewhere = study(targets=["digits"])
    assert elsewhere.data_sets.seen_first("cues", published=False) == "cues"
    assert elsewhere.data_sets.seen_first("cues", published=True) == "digits"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ceiling": {"arm": "nobody"}}, "`ceiling.arm`: 'nobody' is not one of the arms"),
        (
            {"ceiling": {"arm": {"name": "cat1", "members": 1, "transfer": "direct"}}},
            "`ceiling.arm`: 'cat1' is already the name of a different arm in `arms`",
        ),
        (
            {"backbones": {"small": {"architecture": "small_residual"}, "pixels": {"architecture": "resnet18"}}},
            "pixels",
        ),
        ({"ceiling": {"known": {"nothing": 50.0}}}, "`ceiling.known`: 'nothing' is not one of the data sets"),
    ],
)
def test_an_inconsistent_config_of_floors_and_ceilings_is_refused(changes, message):
    if "backbones" in changes:
        changes |= {"table1": ABSENT, "ceiling": ABSENT}
    with pytest.raises(UserError) as error:
        study(**changes)
    assert message in str(error.value)
