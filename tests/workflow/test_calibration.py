"""Calibration as Snakemake sees it: one job beside those of the table, for every study; what it is given."""

import re

import pytest
import yaml

from tests.studies import ROOT, StudyFolder, jobs_of
from workflow_scripts.timecat.configuration import Config
from workflow_scripts.timecat.study import Study

CONFIGS = sorted(path.name for path in (ROOT / "config").glob("*.yaml") if path.name != "throughputs.yaml")
WANTED = "results/calibration.csv"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """A copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


@pytest.mark.parametrize("config", CONFIGS)
def test_every_study_has_it(fresh, config):
    jobs = jobs_of(fresh.snakemake("-n", "--", WANTED, config=f"config/{config}"))
    values = yaml.safe_load((ROOT / "config" / config).read_text())
    assert jobs["calibration"] == 1 and "tabulate" not in jobs
    study = Study(Config.model_validate(values))
    cells = study.calibrated_cells()
    assert cells[: len(study.cells())] == study.cells() and len({tuple(cell.values()) for cell in cells}) == len(cells)
    assert jobs["probe"] == sum(study.arms[cell["arm"]].transfer == "probe" for cell in cells)
    assert jobs["write_dataset"] == 2 * len({values["source"], *values["targets"]})


def test_the_arms_of_tables_beside_table_2_have_it_on_its_targets():
    study = Study(Config.model_validate(yaml.safe_load((ROOT / "config/config.yaml").read_text())))
    cells = study.calibrated_cells()
    for arm, targets in (("ensemble", ["cues", "cue0"]), ("copies", ["cues", "cue0"]), ("vit", study.config.targets)):
        assert [cell["data_set"] for cell in cells if cell["arm"] == arm] == targets
    assert not any(cell["arm"] in ("alone", "dna_cat1", "biased_cat1") for cell in cells)


def test_it_takes_the_tables_jobs_and_one_more(fresh):
    table = jobs_of(fresh.snakemake("-n"))
    jobs = jobs_of(fresh.snakemake("-n", "--", WANTED))
    assert table.pop("tabulate") == jobs.pop("calibration") == 1
    assert jobs == table


def test_what_it_is_given(fresh, tmp_path):
    """Predictions of probes, evaluations and transfers; of a data set for evaluation only, the probe's training rows."""
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
    assert told["settings"] == ["""'{"bins":7,"depth":2,"draws":100,"minimum_rows":50}'"""]

    values["targets"].remove("sketch")
    values["arms"] = [values["arms"][1], {"name": "scratch", "members": 1, "transfer": "direct"}]
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    assert command_line(fresh, str(config))["predictions"] == [
        "results/probes/cues_tiny/cues_tiny/cat3.predictions.parquet",
        "results/transfers/cues_tiny/cues_tiny/scratch.predictions.parquet",
    ]


def command_line(study: StudyFolder, config: str) -> dict[str, list[str]]:
    """Option -> its words, of the job's command line."""
    dry = study.snakemake("-n", "-p", "--", WANTED, config=config)
    (line,) = re.findall(r"python -m workflow_scripts.calibration (.*)", dry.stdout)
    return {words[0]: words[1:] for words in (part.split() for part in line.split("--")[1:])}
