"""Tests of arms with different backbones, recipes, seeds and steps: checkpoints, params, and refused configs."""

import json

import pytest
import yaml

from tests.support.small_study import ARMS, DATA_SETS, study_of
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey, TableKey

STUDY = (
    DATA_SETS
    + """
backbones:
  small: {architecture: small_residual}
  wide: {architecture: small_residual, width: 16}
  plain: {architecture: small_residual, pretrain: {label_smoothing: 0.0, ghost_batch: 16}}
pretrain: {seeds: [1, 2, 3, 4, 5], batch_size: 64, milestones: [2]}
"""
    + ARMS
    + """
table1:
  seeds: [1, 2, 3, 4, 5, 6, 7, 8, 9]
  arms:
    - cat1
    - {name: wide, members: 1, steps: 6, backbone: wide, seeds: [1, 2]}
    - {name: cat3, members: 3, steps: 8}
controls:
  arms:
    - {name: copies, members: 3, steps: 8, one_seed: true}
    - {name: snapshots, members: 2, steps: [4, 8], one_seed: true}
    - {name: mixed, members: 2, steps: [8, 4]}
    - {name: plain, members: 2, steps: 3, backbone: plain}
grid: {members: [1, 2]}
"""
)


def study(text: str = STUDY, **changes) -> Study:
    """Return the study of a config text with changed blocks."""
    return study_of(text, **changes)


def checkpoints(name: str, made: Study | None = None) -> list[list[tuple[int, int]]]:
    """Return (seed, step) of each member of each replicate of an arm on `digits`."""
    made = made or study()
    return [
        [(key.seed, key.step) for key in replicate] for replicate in made.arms.checkpoints_of(made.arms[name], "digits")
    ]


def test_each_kind_of_arm_has_the_right_checkpoints():
    """Kinds: one seed per replicate, several steps of one seed, seeds and a backbone that differ from the study's."""
    assert checkpoints("copies") == [[(seed, 8)] * 3 for seed in (1, 2, 3, 4, 5)]
    assert checkpoints("snapshots") == [[(seed, 4), (seed, 8)] for seed in (1, 2, 3, 4, 5)]
    assert checkpoints("mixed") == [[(1, 8), (2, 4)], [(3, 8), (4, 4)]]
    assert checkpoints("wide") == [[(1, 6)], [(2, 6)]]
    assert checkpoints("cat3") == [[(seed, 8) for seed in group] for group in ((1, 2, 3), (4, 5, 6), (7, 8, 9))]
    assert checkpoints("cat2") == [[(1, 4), (2, 4)], [(3, 4), (4, 4)]], "the seeds of table 1 do not apply to table 2"


def test_features_belong_to_the_backbone_seeds_and_steps_of_the_arm():
    made = study()
    folders = made.inputs.feature_folders(made.arms.cell("snapshots", "digits"))
    assert folders[:2] == [f"results/features/cues/small/seed1/step{step}/digits" for step in (4, 8)]
    assert made.inputs.feature_folders(made.arms.cell("plain", "cues"))[3] == (
        "results/features/cues/plain/seed4/step3/cues"
    )


def test_each_backbone_keeps_checkpoints_at_the_steps_of_its_arms():
    made = study()
    assert made.chains.milestones == made.chains.milestones_of("small") == [2, 4, 8]
    assert made.chains.milestones_of("wide") == [6] and made.chains.milestones_of("plain") == [3]
    where = CheckpointKey("cues", "small", 1, 8)
    assert made.inputs.previous_state(where) == ["results/checkpoints/cues/small/seed1/step4.state.pt"]
    assert made.inputs.previous_state(CheckpointKey("cues", "wide", 1, 6)) == []
    assert made.arms.seeds == list(range(1, 10))


def test_a_backbone_may_change_keys_of_the_studys_recipe():
    made = study()
    recipes = {name: json.loads(made.params.recipe(CheckpointKey("cues", name, 1, 8))) for name in ("small", "plain")}
    assert recipes["plain"] == recipes["small"] | {"label_smoothing": 0.0, "ghost_batch": 16}
    assert recipes["small"]["label_smoothing"] == 0.1 and "seeds" not in recipes["small"]
    settings = json.loads(made.params.backbone(CheckpointKey("cues", "plain", 1, 8)))
    assert settings == {"architecture": "small_residual", "width": 8, "blocks": 3}, "the network alone"


def test_a_direct_arm_uses_the_recipe_of_its_backbone():
    values = yaml.safe_load(STUDY)
    values["backbones"]["deep"] = {
        "architecture": "resnet18",
        "pretrain": {"zero_gamma": True, "initialisation": "lecun_normal"},
    }
    values["arms"].append({"name": "scratch", "members": 1, "transfer": "direct", "backbone": "deep"})
    made = Study(read_config(values, []))
    where = made.arms.cell("scratch", "cues")
    assert json.loads(made.params.transfer_backbone(where)) == {"architecture": "resnet18", "width": 1}
    assert json.loads(made.params.transfer_initialisation(where)) == {
        "initialisation": "lecun_normal",
        "zero_gamma": True,
    }
    assert json.loads(made.params.transfer_backbone(made.arms.cell("cat1", "cues"))) is None


def test_the_key_training_changes_settings_of_a_direct_arm():
    values = yaml.safe_load(STUDY)
    values["direct"] = {"epochs": 5, "lr": 0.3}
    values["arms"] += [
        {"name": "scratch", "members": 1, "transfer": "direct"},
        {"name": "longer", "members": 1, "transfer": "direct", "training": {"epochs": 9, "least_steps": 70}},
    ]
    made = Study(read_config(values, []))
    usual, longer = (json.loads(made.params.transfer(made.arms.cell(name, "cues"))) for name in ("scratch", "longer"))
    assert (usual["epochs"], usual["lr"], usual["least_steps"]) == (5, 0.3, 0)
    assert longer == usual | {"epochs": 9, "least_steps": 70}


def test_other_tables_do_not_change_table_2():
    def metrics(made: Study) -> list[str]:
        return made.inputs.metrics(TableKey("table2"))

    with_tables, values = study(), yaml.safe_load(STUDY)
    for block in ("table1", "controls", "grid"):
        del values[block]
    without = Study(read_config(values, []))
    assert with_tables.tables.cells("table2") == without.tables.cells("table2") and metrics(with_tables) == metrics(
        without
    )
    assert with_tables.table_params.rows(TableKey("table2")) == without.table_params.rows(TableKey("table2"))
    assert with_tables.inputs.diagnoses() == without.inputs.diagnoses()
    assert json.loads(without.table_params.rows(TableKey("table2")))[0] == {
        "name": "cat1",
        "members": 1,
        "steps": 8,
        "transfer": "probe",
    }, "keys that do not apply are left out"


def test_rows_of_other_tables_describe_their_arms():
    made = study()
    assert [arm.name for arm in made.tables.rows("table1")] == ["cat1", "wide", "cat3"]
    rows = {row["name"]: row for row in json.loads(made.table_params.rows_with_networks(TableKey("controls")))}
    assert rows["copies"]["one_seed"] and "backbone" not in rows["copies"]
    assert rows["plain"]["backbone"] == {"name": "plain", "changes": {"ghost_batch": 16, "label_smoothing": 0.0}}
    assert rows["plain"]["settings"] == {"architecture": "small_residual", "width": 8, "blocks": 3}
    paths = made.inputs.metrics(TableKey("table1"))
    assert paths[2:4] == ["results/probes/cues/cues/wide.parquet", "results/probes/cues/digits/wide.parquet"]


def test_the_grid_uses_equal_arms_of_tables():
    """Cells of the grid without an equal arm in a table get a new arm, such as grid1x4."""
    made = study()
    assert {pair: arm.name for pair, arm in made.arms.grid.items()} == {
        (1, 2): "grid1x2",
        (1, 4): "grid1x4",
        (1, 8): "cat1",
        (2, 2): "grid2x2",
        (2, 4): "cat2",
        (2, 8): "grid2x8",
    }
    rows = json.loads(made.table_params.grid_rows(None))
    assert [row["name"] for row in rows if row["in_table"]] == ["cat1", "cat2"]
    assert "grid2x8" in made.patterns["probed_arm"].split("|")


def test_an_arm_may_set_a_different_solver():
    controls = {"arms": ["cat1", {"name": "by_sgd", "members": 1, "steps": 8, "solver": "sgd"}]}
    made = study(probe={"solver": "lbfgs", "weight_decays": [0.1, 0.01]}, controls=controls)
    told = {arm: json.loads(made.params.probe(CellKey("cues", "digits", arm))) for arm in ("cat1", "by_sgd")}
    assert told["cat1"] == {"solver": "lbfgs", "batch_norm": True, "weight_decays": [0.1, 0.01]}
    assert told["by_sgd"].keys() == {"seed", "epochs", "batch_size", "lr", "momentum", "lr_milestones", "lr_gamma"} | {
        "batch_norm",
        "init_std",
        "weight_decays",
    }
    assert checkpoints("by_sgd", made) == checkpoints("cat1", made)
    assert made.arms.grid[1, 8].name == "cat1", "an arm with another solver is not used"
    converged, by_sgd = json.loads(made.table_params.rows(TableKey("controls")))
    assert (converged["solver"], by_sgd["converged"]) == ("lbfgs", "cat1") and "solver" not in by_sgd
    usual = study(controls=controls)
    assert usual.params.probe(CellKey("cues", "digits", "by_sgd")) == usual.params.probe(
        CellKey("cues", "digits", "cat1")
    )
    by_regression = {"name": "other", "members": 1, "steps": 5, "solver": "lbfgs"}
    assert (
        study(controls={"arms": [by_regression]}, grid={"members": [1], "steps": [5]}).arms.grid[1, 5].name == "grid1x5"
    )


def test_a_grid_with_different_seeds_uses_no_arms_of_tables():
    made = study(grid={"members": [1], "steps": [8], "seeds": [3, 4]})
    assert made.arms.grid[1, 8].name == "grid1x8" and made.arms.replicates(made.arms.grid[1, 8]) == [[3], [4]]


def test_a_grid_may_have_fewer_replicates():
    """An arm of a table with more replicates is still used if its first replicates equal the replicates of the cell."""
    made = study(grid={"members": [1, 2], "replicates": 2})
    assert made.arms.grid[1, 8].name == "cat1" and len(made.arms.replicates(made.arms["cat1"])) == 5
    assert made.arms.grid[2, 4].name == "cat2"
    assert made.arms.replicates(made.arms.grid[1, 4]) == [[1], [2]] and made.arms.replicates(made.arms.grid[2, 8]) == [
        [1, 2],
        [3, 4],
    ]
    other = study(grid={"members": [1], "steps": [8], "seeds": [2, 3, 4], "replicates": 2})
    assert other.arms.grid[1, 8].name == "grid1x8", "the first replicates of cat1 differ"


def test_steps_of_a_grid_become_milestones():
    made = study(grid={"members": [1], "steps": [5]})
    assert made.chains.milestones == [2, 4, 5, 8] and list(made.arms.grid) == [(1, 5)]


def test_published_weights_replace_pretraining_of_the_studys_backbone():
    """Backbones without the key `checkpoints` are still pretrained."""
    made = study(
        checkpoints={"path": "https://example.org/{run}_{step}", "runs": {8: [0, 1, 2]}},
        table1={"arms": [{"name": "wide", "members": 1, "steps": 6, "backbone": "wide"}]},
    )
    assert (made.patterns["imported_backbone"], made.patterns["pretrained_backbone"]) == ("small", "wide|plain")
    assert study().patterns["imported_backbone"] == "(?!)"
    assert [seed for (seed, _), *_ in checkpoints("copies", made)] == [1, 2, 3], "only seeds whose files exist"
    assert checkpoints("mixed", made) == [[(1, 8), (2, 4)]]
    assert checkpoints("wide", made) == [[(seed, 6)] for seed in (1, 2, 3, 4, 5)]
    assert made.publications["small"].steps == [2, 4, 8], "without the steps of the wide network"
    assert len(made.arms.replicates(made.arms.grid[2, 8])) == 1


def test_every_backbone_may_have_published_weights(tmp_path):
    values = yaml.safe_load(STUDY)
    for run in (0, 1):
        (tmp_path / f"{run}.pt").write_bytes(b"")
    block = {"path": f"{tmp_path}/{{run}}.pt", "pretrained_on": "other images", "step_tolerance": 3}
    values["backbones"]["wide"]["checkpoints"] = block
    values["backbones"]["plain"]["checkpoints"] = {"path": "https://example.org/plain{seed}.pt"}
    made = Study(read_config(values, []))
    assert (made.patterns["imported_backbone"], made.patterns["pretrained_backbone"]) == ("wide|plain", "small")
    w = CheckpointKey("cues", "wide", 2, 6)
    assert made.inputs.published_file(w) == f"{tmp_path}/1.pt" and made.resources.step_tolerance(w) == 3, (
        "seed 2 is run 1"
    )
    assert len(made.publications.downloads) == 5 and json.loads(made.params.backbone(w)) == {
        "architecture": "small_residual",
        "width": 16,
        "blocks": 3,
    }
    rows = {row["name"]: row for row in json.loads(made.table_params.rows_with_networks(TableKey("table1")))}
    assert rows["wide"]["pretrained_on"] == "other images" and "pretrained_on" not in rows["cat1"]
    (tmp_path / "0.pt").unlink()
    assert Study(read_config(values, [])).arms.replicates(made.arms["wide"]) == [[2]]
    (tmp_path / "1.pt").unlink()
    with pytest.raises(
        UserError, match=r"'wide' needs 1 checkpoints at step 6.*correct `backbones.wide.checkpoints.path`"
    ):
        Study(read_config(values, []))


def test_a_direct_arm_does_not_use_published_weights_of_its_backbone():
    """The seeds of a direct arm do not change which published file belongs to which seed, either."""
    values = yaml.safe_load(STUDY)
    values["backbones"]["wide"]["checkpoints"] = {
        "path": "https://example.org/{run}.pt",
        "pretrained_on": "other images",
    }
    values["table1"]["arms"] += [
        {
            "name": "scratch",
            "members": 1,
            "transfer": "direct",
            "backbone": "wide",
            "source": "digits",
            "seeds": [31, 2],
        }
    ]
    made = Study(read_config(values, []))
    files = [made.inputs.published_file(CheckpointKey("cues", "wide", seed, 6)) for seed in (1, 2)]
    assert [file[-4:] for file in files] == ["0.pt", "1.pt"], "by their positions in pretrain.seeds"
    rows = {row["name"]: row for row in json.loads(made.table_params.rows_with_networks(TableKey("table1")))}
    assert "pretrained_on" in rows["wide"] and "pretrained_on" not in rows["scratch"]
    values["table1"]["arms"][1]["seeds"] = [1, 99]
    with pytest.raises(UserError, match="seed 99 of 'wide' is not in pretrain.seeds.*`backbones.wide.checkpoints`"):
        read_config(values, [])


def test_published_weights_of_an_unused_backbone_are_ignored():
    values = yaml.safe_load(STUDY)
    values["backbones"]["spare"] = {
        "architecture": "small_residual",
        "checkpoints": {"path": "a/{run}", "runs": {8: [0]}},
    }
    made = Study(read_config(values, []))
    assert made.publications == {} and made.patterns["imported_backbone"] == "(?!)"


def test_weights_from_other_data_make_no_column_in_distribution():
    """The key `pretrained_on` names data other than the source, so accuracies on the source are transfer, too."""
    block = {"path": "https://example.org/{run}_{step}", "pretrained_on": "other images"}
    told = json.loads(study(checkpoints=block, table1=None).table_params.columns(TableKey("table2")))
    assert [each["in_distribution"] for each in told] == [False, False]
    del block["pretrained_on"]
    told = json.loads(study(checkpoints=block, table1=None).table_params.columns(TableKey("table2")))
    assert [each["in_distribution"] for each in told] == [True, False]


def test_a_grid_leaves_out_cells_with_too_few_published_files():
    runs = {"path": "https://example.org/{run}_{step}", "runs": {2: [0]}}
    made = study(checkpoints=runs, table1=None, controls=None)
    assert (1, 2) in made.arms.grid and (2, 2) not in made.arms.grid and (2, 4) in made.arms.grid


MISTAKES = {
    "steps for other members": (
        "steps: [4, 8], one_seed",
        "steps: [4, 6, 8], one_seed",
        "`controls.arms.1.steps`: [4, 6, 8] has 3 numbers and 'snapshots' has 2 members; give one number per",
    ),
    "no steps in the list": (
        "steps: [8, 4]",
        "steps: []",
        "`controls.arms.2.steps`: [] has 0 numbers and 'mixed' has 2 members",
    ),
    "a negative step in the list": (
        "steps: [8, 4]",
        "steps: [8, -1]",
        "`controls.arms.2.steps.1` is -1; it must be at least",
    ),
    "steps that are text": (
        "steps: 8, one_seed",
        "steps: many, one_seed",
        "`controls.arms.0.steps` is the text 'many'",
    ),
    "training of a probed arm": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, training: {epochs: 9}}",
        "`table1.arms.2.training`: 'cat3' has `transfer: probe`, which trains no backbone; remove the key, or choose",
    ),
    "a solver where nothing is probed": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, transfer: finetune, solver: sgd}",
        "`table1.arms.2.solver`: 'cat3' has `transfer: finetune`, which has no probe; remove the key, or choose",
    ),
    "no weight decay for a regression": (
        "table1:\n",
        "probe: {weight_decays: [0.1, 0], solver: lbfgs}\ntable1:\n",
        "`probe.weight_decays`: with `solver: lbfgs` each weight decay must be greater than 0; replace 0",
    ),
    "no weight decay for an arm's regression": (
        "{name: cat2, members: 2, steps: 4}",
        "{name: cat2, members: 2, steps: 4, solver: lbfgs}\nprobe: {weight_decays: [0.0]}",
        "`probe.weight_decays`: with `solver: lbfgs` each weight decay must be greater than 0",
    ),
    "unknown key of training": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, transfer: finetune, training: {epoch: 9}}",
        "`table1.arms.2.training.epoch` is not a key; did you mean `epochs`?",
    ),
    "unknown backbone": (
        "steps: 6, backbone: wide",
        "steps: 6, backbone: wider",
        "`arms`: 'wide' has the backbone 'wider', which is not one of the backbones "
        "(small, wide, plain, pixels); correct the name.",
    ),
    "direct with one seed": (
        "{name: copies, members: 3, steps: 8,",
        "{name: copies, members: 3, transfer: direct,",
        "`controls.arms.0.one_seed`: an arm with `transfer: direct` has no checkpoints to share; remove the key.",
    ),
    "one seed, two in a replicate": (
        "steps: 8, one_seed: true",
        "steps: 8, one_seed: true, replicates: [[1, 1, 2]]",
        "`arms`: 'copies' has `one_seed`, but its replicate [1, 1, 2] has 2 different seeds; repeat one seed, or leave "
        "`replicates` out.",
    ),
    "a seed that is not its table's": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, replicates: [[1, 2, 10]]}",
        "`arms`: seed 10 of 'cat3' is not in seeds [1, 2, 3, 4, 5, 6, 7, 8, 9]; add it there.",
    ),
    "too few seeds of the arm": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, seeds: [1, 2]}",
        "`arms`: 'cat3' needs 3 seeds and seeds has 2; add 1 or lower its members.",
    ),
    "another arm of the same name": (
        "name: copies",
        "name: cat3",
        "`controls.arms`: 'cat3' is already the name of a different arm in `table1.arms`; give it another name, or write",
    ),
    "a name of no arm": (
        "    - cat1\n",
        "    - cat7\n",
        "`table1.arms`: 'cat7' is not one of the arms (cat1, cat2, wide, cat3,",
    ),
    "a repeated row": ("    - cat1\n", "    - cat1\n    - cat1\n", "`table1.arms`: duplicate arm name 'cat1'"),
    "a number for a row": ("    - cat1\n", "    - 3\n", "`table1.arms.0` is 3; it must be a block of keys"),
    "unknown key of a row": (
        "one_seed: true}\n    - {name: snap",
        "one_sed: true}\n    - {name: snap",
        "`controls.arms.0.one_sed` is not a key; did you mean `one_seed`?",
    ),
    "unknown key of a recipe": (
        "label_smoothing: 0.0",
        "label_smoothin: 0.0",
        "`backbones.plain.pretrain.label_smoothin` is not a key; did you mean `label_smoothing`?",
    ),
    "seeds in a recipe": ("label_smoothing: 0.0", "seeds: [1]", "`backbones.plain.pretrain.seeds` is not a key"),
    "a recipe's value": (
        "label_smoothing: 0.0",
        "lr: 0.0",
        "`backbones.plain.pretrain.lr` is 0.0; it must be greater than 0.",
    ),
    "a recipe that does not go together": (
        "ghost_batch: 16",
        "ghost_batch: 24",
        "`backbones.plain.pretrain.ghost_batch`: 24 does not divide the 64 images of one pass",
    ),
    "members of the grid": (
        "grid: {members: [1, 2]}",
        "grid: {members: [1, 6]}",
        "`grid.members`: 6 members need as many seeds, but pretrain.seeds has 5; add 1 or lower the number of members.",
    ),
    "an arm with a name of the grid's": (
        "{name: mixed, members: 2, steps: [8, 4]}",
        "{name: grid1x4, members: 2, steps: [8, 4]}",
        "`arms`: 'grid1x4' is also the name of a different arm that `grid` makes; rename the arm",
    ),
    "published on no target": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, published: {cars: 9.5}}",
        "`arms`: 'cat3' has a published accuracy on 'cars', which is not one of its targets (cues, digits)",
    ),
    "a published accuracy above 100 percent": (
        "{name: cat3, members: 3, steps: 8}",
        "{name: cat3, members: 3, steps: 8, published: {cues: 101}}",
        "`table1.arms.2.published.cues` is 101; it must be at most 100.",
    ),
    "the study's backbone published in its block": (
        "  small: {architecture: small_residual}",
        "  small: {architecture: small_residual, checkpoints: {path: 'https://example.org/{run}'}}",
        "`backbones.small.checkpoints`: this is the study's backbone; move the block `checkpoints` to the top level.",
    ),
    "two seeds of one published file": (
        "  wide: {architecture: small_residual, width: 16}",
        "  wide: {architecture: small_residual, width: 16, checkpoints: {path: 'https://example.org/w'}}",
        "`backbones.wide.checkpoints.path`: 'https://example.org/w' would be both seed 1 at step 6 and seed 2 at step 6; add",
    ),
    "a seed that is no run of what is published": (
        "table1:\n",
        "checkpoints: {path: 'https://example.org/{run}_{step}'}\ntable1:\n",
        "`arms`: seed 6 of 'cat3' is not in pretrain.seeds, which gives the runs of `checkpoints`; add it there",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_gives_a_one_line_error_message(case, tmp_path):
    old, new, message = MISTAKES[case]
    assert STUDY.count(old) == 1
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace(old, new))
    with pytest.raises(UserError) as error:
        Study(read_config(yaml.safe_load(file.read_text()), [str(file)]), [str(file)])
    assert str(error.value).startswith(f"{file}: {message}") and "\n" not in str(error.value), str(error.value)


def test_a_table_without_a_block_is_refused():
    made = study(table1=None, grid=None)
    with pytest.raises(UserError, match="has no block `table1`; add it to the config"):
        made.inputs.metrics(TableKey("table1"))
    with pytest.raises(UserError, match="has no block `grid`; add it"):
        made.inputs.metrics(TableKey("grid"))


def test_a_plan_uses_the_recipe_of_each_backbone():
    from workflow_scripts.timecat.planning.rows import RowsOf
    from workflow_scripts.timecat.planning.work import PlannedStudy

    changed = {"small": {"architecture": "small_residual", "pretrain": {"batch_size": 32}}}
    values = yaml.safe_load(STUDY)
    made = study(backbones=values["backbones"] | changed)
    assert PlannedStudy(made, RowsOf(made)).recipe("small").batch_size == 32
    assert PlannedStudy(study(), RowsOf(study())).recipe("plain").label_smoothing == 0.0


def test_all_arms_makes_every_table_that_has_a_block():
    def tables(made: Study) -> list[str]:
        return [path.removeprefix("results/").removesuffix(".csv") for path in made.inputs.tables_with_a_block()]

    assert tables(study()) == ["table2", "table1", "controls", "grid"]
    assert tables(study(table1=None, grid=None)) == ["table2", "controls"]
    gap = {"source": "digits", "arms": [{"name": "alone", "members": 1, "transfer": "direct"}]}
    assert "gap" in tables(study(gap=gap))
