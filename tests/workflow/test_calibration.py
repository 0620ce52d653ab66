"""Check calibration in dry runs of every study: it adds one job to the jobs of table 2, and has the right inputs."""

import json
import re

import pytest
import yaml

from tests.support.studies import ROOT, StudyFolder, jobs_of, values_of
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey, TableKey

CONFIGS = sorted(path.name for path in (ROOT / "config").glob("*.yaml") if path.name != "throughputs.yaml")
WANTED = "results/calibration.csv"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


@pytest.mark.parametrize("config", CONFIGS)
def test_every_study_can_be_calibrated(fresh, config):
    values = values_of(f"config/{config}")
    target = WANTED.replace("results", values.get("results_dir", "results"))
    jobs = jobs_of(fresh.snakemake("-n", "--", target, config=f"config/{config}"))

    assert jobs["calibration"] == 1 and "tabulate" not in jobs
    study = Study(Config.model_validate(values))
    cells = study.tables.calibrated_cells()
    table2 = study.tables.cells("table2")
    assert cells[: len(table2)] == table2 and len(set(cells)) == len(cells)
    for rule, modes in (("probe", {"probe"}), ("transfer", {"finetune", "direct"}), ("reweight", {"reweight"})):
        assert jobs.get(rule, 0) == sum(study.arms[cell.arm].transfer in modes for cell in cells)


def test_arms_of_all_tables_are_calibrated_on_their_targets():
    values = values_of("config/config.yaml")
    study = Study(Config.model_validate(values))
    cells = study.tables.calibrated_cells()
    names = {arm.name for table in ("table2", *study.config.tables) for arm in study.tables.rows(table)}
    assert names < set(study.config.all_arms), "the ceiling and arms that only `width` has are not calibrated"
    assert {cell.arm for cell in cells} == names
    for arm, targets in (
        ("ensemble", ["cues", "cue0"]),
        ("vit", ["cues", "cue0"]),
        ("mixed_finetuned", ["component0", "component1"]),
        ("reweighted_cat2", ["shortcut", "shortcut_balanced"]),
        ("dna_alone", ["single", "spaced", "ordered"]),
    ):
        assert [cell.data_set for cell in cells if cell.arm == arm] == targets
    described = json.loads(study.table_params.calibrated_columns(None))
    assert [each["name"] for each in described] == list(study.tables.calibrated_data_sets())
    indices = (study.inputs.evaluation_indices, study.inputs.train_indices)
    assert [len(found(TableKey("calibration"))) for found in indices] == [len(described)] * 2

    values["calibration"] = {"tables": ["spurious"]}
    fewer = Study(Config.model_validate(values))
    assert list(fewer.tables.calibrated_data_sets()) == [*values["targets"], "shortcut", "shortcut_balanced"]
    assert {cell.arm for cell in fewer.tables.calibrated_cells()} == {
        *(arm.name for arm in fewer.config.arms),
        *fewer.config.spurious.names,
    }


def test_calibration_adds_one_job_to_table_2(fresh):
    table = jobs_of(fresh.snakemake("-n"))
    jobs = jobs_of(fresh.snakemake("-n", "--", WANTED))
    assert table.pop("tabulate") == jobs.pop("calibration") == 1
    assert jobs == table


def test_calibration_reads_predictions_and_indices_of_its_cells(fresh, tmp_path):
    """Inputs are predictions of probes, evaluations and transfers, and index files of the probes' training rows."""
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    values["data_sets"]["sketch"] = {"kind": "evaluation_folder", "root": "images", "probe_of": "cues_tiny"}
    values["targets"].append("sketch")
    values["calibration"] = {"bins": 7}
    config = tmp_path / "evaluation.yaml"
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    told = command_line(fresh, str(config))
    assert told["predictions"] == [
        "results/probes/cues_tiny/cues_tiny/cat1.predictions.parquet",
        "results/evaluations/cues_tiny/sketch/cat1.predictions.parquet",
        "results/probes/cues_tiny/cues_tiny/cat3.predictions.parquet",
        "results/evaluations/cues_tiny/sketch/cat3.predictions.parquet",
    ]
    assert told["evaluation-indices"] == [
        f"results/data_sets/{name}/evaluation.index.parquet" for name in ("cues_tiny", "sketch")
    ]
    assert told["train-indices"] == ["results/data_sets/cues_tiny/train.index.parquet"] * 2
    assert told["baseline"] == ["cat1"] and json.loads(told["seeds"][0].strip("'")) == {
        arm: json.loads(Study(Config.model_validate(values)).params.replicates(CellKey("cues_tiny", "cues_tiny", arm)))
        for arm in ("cat1", "cat3")
    }
    assert told["settings"] == ["""'{"bins":7,"depth":2,"draws":100,"minimum_rows":50}'"""]

    values["targets"].remove("sketch")
    values["arms"] = [values["arms"][1], {"name": "scratch", "members": 1, "transfer": "direct"}]
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    assert command_line(fresh, str(config))["predictions"] == [
        "results/probes/cues_tiny/cues_tiny/cat3.predictions.parquet",
        "results/transfers/cues_tiny/cues_tiny/scratch.predictions.parquet",
    ]


def command_line(study: StudyFolder, config: str) -> dict[str, list[str]]:
    """Return the options of a job's command line, as a dict from option to words."""
    dry = study.snakemake("-n", "-p", "--", WANTED, config=config)
    (line,) = re.findall(r"python -m workflow_scripts.calibration (.*)", dry.stdout)
    return {words[0]: words[1:] for words in (part.split() for part in line.split("--")[1:])}
