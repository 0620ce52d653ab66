"""Check the jobs of table 1, controls, families and grid in dry runs, which do not change the jobs of table 2."""

import json
import re

import pytest
import yaml

from tests.support.images import read_split
from tests.support.studies import BESIDE_TABLE_2, StudyFolder, jobs_of, values_of
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import SplitKey

TABLES = ["results/table1.csv", "results/controls.csv", "results/grid.csv"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


def dry_run(study: StudyFolder, values: dict, *targets: str):
    """Return a dry run of a config that prints the commands of its jobs."""
    (study.path / "config/changed.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return study.snakemake("-n", "-p", "--", *targets, config="config/changed.yaml")


def commands(done) -> list[str]:
    return sorted(re.findall(r"python -m workflow_scripts\..*", done.stdout))


def without_tables(name: str) -> dict:
    """Return a study with table 2 only.

    Blocks of all other tables are removed, and backbones that only they use.
    """
    values = values_of(f"config/{name}.yaml")
    for block in BESIDE_TABLE_2:
        values.pop(block, None)
    values["backbones"] = {values["backbone"]: values["backbones"][values["backbone"]]}
    return values


@pytest.mark.parametrize("name", ["config", "paper"])
def test_other_tables_do_not_change_jobs_of_table_2(fresh, name):
    alone, beside = (
        dry_run(fresh, values, "results/table2.csv")
        for values in (without_tables(name), values_of(f"config/{name}.yaml"))
    )
    assert jobs_of(alone) == jobs_of(beside) and commands(alone) == commands(beside)
    assert len(commands(alone)) == sum(jobs_of(alone).values())


def test_the_embedded_tables_have_the_expected_jobs(fresh):
    """Six seeds have all four milestones; three wide, three plain and six 256-feature networks have two each."""
    jobs = jobs_of(dry_run(fresh, values_of("config/config.yaml"), "results/table2.csv", "results/width.csv", *TABLES))
    study, wide, plain, features = 6 * 4, 3 * 2, 3 * 2, 6 * 2  # checkpoints
    # cue1 is not a target of table 1, the only table with the longer runs of the wide networks.
    trained = {"cues": study + wide + plain + features, "digits": study}
    trained |= {"cue0": trained["cues"], "cue1": trained["cues"] - 3}
    untrained = {"cue0": 6 + 3 + 3 + 6, "cue1": 6 + 3 + 3 + 6, "digits": 6}  # the source has no floor
    projected = {"cue0": 1, "cue1": 1, "digits": 1}
    controls, dimensions = (
        4 + 4 + 5 + 4,
        2 * (4 + 3 * 5),
    )  # reduced arms of table 2 are left out, because all are in `width`; cat1 has 4 widths
    # Four of the 16 cells of the grid are arms of table 2, and one is the ensemble.
    arms = {
        "cues": controls + 8 + 2 + 11,
        "cue0": controls + dimensions + 2 + 11,
        "cue1": controls + dimensions,
        "digits": 4,
    }
    # Floors, with untrained networks: arms of 1, 2, 4 and 5 members; with sgd; copies; plain, wide and with 256
    # features; reduced arms (random directions have a floor only in `controls`); and those with 256 features, reduced
    # in two ways.
    of_glyphs = 4 + 4 + 1 + 2 + 1 + 1 + (4 + 3 * 5) + 4 + 2
    floors = {"cue0": of_glyphs, "cue1": of_glyphs, "digits": 4}
    assert jobs == {
        "write_dataset": 2 * 4,
        "initialise": 6 + 3 + 3 + 6 + 1,
        "pretrain": study + wide + plain + features,
        "transfer": 3,  # the ceiling, for each target other than the source
        "extract_features": sum(map(sum_of, (trained, untrained, projected))),
        "probe": sum(map(sum_of, (arms, floors, projected))),
        "tabulate": 1,
        "tabulate_arms": 2,
        "tabulate_grid": 1,
        "tabulate_width": 1,
    }


def test_a_further_comparison_changes_only_the_command_of_its_table(fresh):
    """The jobs of the compared arm, of its floor and of all other tables stay the same."""

    def made(**changes) -> set[str]:
        values = values_of("config/config.yaml") | changes
        targets = ("table2", "width", "table1", "controls", "families", "diagnostics", "calibration")
        return set(commands(dry_run(fresh, values, *(f"results/{name}.csv" for name in targets))))

    values = values_of("config/config.yaml")
    *others, last = values["arms"]
    before, after = made(), made(arms=[*others, last | {"against": ["cat4"]}])
    (one,), (other,) = before - after, after - before
    assert other == one.replace('"members":5,', '"against":["cat4"],"members":5,') != one
    assert one.startswith("python -m workflow_scripts.tabulate ")


def sum_of(counts: dict[str, int]) -> int:
    return sum(counts.values())


def test_the_embedded_families_have_the_expected_jobs(fresh):
    """Each family has three seeds.

    The residual networks are the networks of table 2; the family also reads their first milestone.
    """
    jobs = jobs_of(dry_run(fresh, values_of("config/config.yaml"), "results/families.csv"))
    assert (jobs["initialise"], jobs["pretrain"]) == (3 * 3 + 1, 3 * (3 + 2 + 2))
    assert jobs["extract_features"] == 3 * 3 * 2 * 2 + 3 * 3 + 1
    assert (jobs["probe"], jobs["tabulate_arms"]) == (6 * 2 + 6 + 1, 1)


@pytest.mark.parametrize("name", ["swav", "simsiam", "seer", "vit"])
def test_the_published_families_need_one_file_each(fresh, name):
    """The floors of the three targets also need an untrained network and a projection of the pixels."""
    jobs = jobs_of(fresh.snakemake("-n", "--", "results/families.csv", config=f"config/{name}.yaml"))
    made = {"download": 1, "import_checkpoint": 1, "write_dataset": 8, "extract_features": 4, "probe": 4}
    floors = {"initialise": 2, "extract_features": 4 + 2 * 3, "probe": 4 + 2 * 3}
    assert jobs == made | floors | {"tabulate_arms": 1}


def test_published_families_share_one_table(fresh):
    """Nine networks from one archive of the authors' release are added; studies with a common file share its jobs."""
    dry = dry_run(fresh, values_of("config/families.yaml"), "results/families.csv")
    made = {"download": 5, "import_checkpoint": 9 + 4, "write_dataset": 8}
    # Floors: five seeds of the release's network, four other networks and the projection; probes of six arms and of the
    # projection.
    made |= {"initialise": 10, "extract_features": 13 * 4 + 10 * 3, "probe": 6 * 4 + 7 * 3}
    assert jobs_of(dry) == made | {"tabulate_arms": 1}
    together = commands(dry)
    for name in ("swav", "simsiam", "seer", "vit"):
        alone = commands(dry_run(fresh, values_of(f"config/{name}.yaml"), "results/families.csv"))
        assert {line for line in alone if ".tabulate" not in line} < set(together), name


def test_the_grid_needs_only_checkpoints_of_table_2(fresh):
    grid, table2 = (
        jobs_of(dry_run(fresh, values_of("config/config.yaml"), f"results/{name}.csv")) for name in ("grid", "table2")
    )
    assert grid["pretrain"] == table2["pretrain"] and "tabulate" not in grid


def test_the_papers_tables_are_planned_without_their_data(fresh):
    jobs = jobs_of(dry_run(fresh, values_of("config/paper.yaml"), *TABLES))
    # 5 seeds at 4 steps; 3 wide and 3 plain networks at 2 steps, and a fourth plain one at the first of these.
    assert jobs["pretrain"] == 5 * 4 + 3 * 2 + 3 * 2 + 1
    assert (jobs["tabulate_arms"], jobs["tabulate_grid"]) == (2, 1)


def test_commands_have_the_settings_of_their_backbone_and_arm(fresh):
    dry = dry_run(fresh, values_of("config/config.yaml"), *TABLES)
    trained = [line for line in commands(dry) if "workflow_scripts.pretrain " in line]
    (wide,) = [line for line in trained if "residual16/seed2/step360.safetensors" in line]
    assert '"width":16' in wide and '"label_smoothing":0.1' in wide and '"pretrain"' not in wide
    (plain,) = [line for line in trained if "plain8/seed2/step720.safetensors" in line]
    assert '"width":8' in plain and '"label_smoothing":0.0' in plain and "--previous  --" in plain
    (probe,) = [line for line in commands(dry) if "cues/cue0/snapshots.parquet" in line and ".probe " in line]
    folders = [f"results/features/cues/residual8/seed2/step{step}/cue0" for step in (288, 360, 720, 1620)]
    assert f"--features {' '.join(folders)} results/features/cues/residual8/seed550" in probe
    assert "--replicates '[[2,2,2,2],[550,550,550,550]," in probe


def test_backbones_without_published_weights_are_pretrained(fresh):
    """config/paper.yaml with the authors' release imports 16 files, and still pretrains wide and plain networks."""
    values = values_of("config/paper.yaml")
    values["checkpoints"] = {
        "path": "https://example.org/{step}/{run}",
        "runs": {200000: [0, 1], 100000: [0, 1, 2, 3]},
    }
    assert "pretrain" not in jobs_of(dry_run(fresh, values, "results/table2.csv"))
    jobs = jobs_of(dry_run(fresh, values, *TABLES))
    assert (jobs["import_checkpoint"], jobs["pretrain"]) == (16, 3 * 2 + 3 * 2 + 1)


def test_embedded_arms_have_three_replicates():
    """Evaluation splits have 1,000 or more rows.

    Grid and calibration use the seeds of table 2. The ceiling is not an arm of a table, and has one network.
    """
    study = Study(Config.model_validate(values_of("config/config.yaml")))
    arms = [arm for table in study.config.tables for arm in study.tables.rows(table)] + list(study.config.arms)
    for arm in arms:
        assert len(study.arms.replicates(arm)) >= 3, arm.name
    for arm in study.arms.grid.values():
        assert len(study.arms.replicates(arm)) > max(study.config.grid.members), arm.name
    targets = {name for table in ("table2", *study.config.tables, "grid") for name in study.tables.targets(table)}
    for name in targets:
        classes = None
        for split in ("train", "evaluation"):
            settings = json.loads(study.params.data_set(SplitKey(name, split)))
            found = read_split(settings, split, classes)
            classes = found.class_names if settings["kind"] == "part" else None
        assert len(found) >= 1000, name


def test_the_grid_may_have_other_targets(fresh):
    values = values_of("config/config.yaml") | {"grid": {"targets": ["cue0"], "members": [1, 2]}}
    (line,) = [line for line in commands(dry_run(fresh, values, "results/grid.csv")) if ".tabulate_grid " in line]
    assert "/cue0/" in line and "/cues/cues/" not in line and '"name":"cue0"' in line and '"name":"digits"' not in line


def test_an_unknown_target_of_the_grid_is_refused():
    values = values_of("config/config.yaml") | {"grid": {"targets": ["cue9"]}}
    with pytest.raises(ValueError, match="grid.targets: 'cue9' is not one of the data sets"):
        Config.model_validate(values)


def test_targets_of_the_grid_must_suit_its_networks():
    values = without_tables("config") | {"source": "motifs", "targets": ["single"], "backbone": "sequence12"}
    values |= {"backbones": values_of("config/config.yaml")["backbones"], "grid": {"targets": ["spaced"]}}
    assert Config.model_validate(values).grid.targets == ["spaced"]
    with pytest.raises(ValueError, match="sequence_residual reads sequences, and 'cues' has images"):
        Config.model_validate(values | {"grid": {"targets": ["cues"]}})


def test_a_table_without_a_block_in_the_config_is_refused(fresh):
    for target in TABLES:
        done = fresh.snakemake("-n", "--", target, check=False)
        block = target.removeprefix("results/").removesuffix(".csv")
        assert done.returncode == 1 and f"the study has no block `{block}`" in done.stdout + done.stderr
