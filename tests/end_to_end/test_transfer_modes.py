"""Run a study with probed, fine-tuned and direct arms, and check which jobs rerun if their settings change."""

import csv
import io
import time

import pyarrow.parquet as pq
import pytest

from tests.support.studies import StudyFolder, touch_tree

TUNED = "results/transfers/cues_tiny/cues_tiny/cat3_tuned.parquet"
SCRATCH = "results/transfers/cues_tiny/cues_tiny/scratch.parquet"
PROBE = "results/probes/cues_tiny/cues_tiny/cat3.parquet"


def with_other_arms(values):
    """Add a fine-tuned arm with the members of cat3, and a directly trained arm, to the tiny study."""
    values["arms"] += [
        {"name": "cat3_tuned", "members": 3, "steps": 4, "transfer": "finetune"},
        {"name": "scratch", "members": 1, "transfer": "direct"},
    ]
    values["finetune"] = {"epochs": 2, "batch_size": 64, "weight_decays": [0.0001, 0.001]}
    values["direct"] = {"epochs": 2, "batch_size": 64}


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory) -> StudyFolder:
    """Finished tiny study with a fine-tuned and a direct arm. Do not change it: copy it."""
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    study.change_config(with_other_arms)
    assert study.run() == {"transfer": 2, "tabulate": 1}
    return study


@pytest.fixture
def study(trained, tmp_path) -> StudyFolder:
    """Copy of the study with a fine-tuned and a direct arm, which a test may change."""
    return trained.copy(tmp_path / "study")


def test_the_table_has_arms_of_all_modes_with_their_budgets(trained):
    lines = {line["method"]: line for line in csv.DictReader(io.StringIO(trained.read("results/table2.csv").decode()))}
    assert list(lines) == ["cat1", "cat3", "cat3_tuned", "scratch"]
    budgets = {name: [line[key] for key in list(line)[1:5]] for name, line in lines.items()}
    assert budgets["cat3"] == budgets["cat3_tuned"] == ["3", "4", "12", "1"]
    assert budgets["scratch"] == ["1", "", "", "3"]  # one replicate per seed
    for line in lines.values():
        assert 0 <= float(line["cues_tiny"]) <= 100 and 0 <= float(line["cues_tiny_holdout"]) <= 100
    markdown = trained.read("results/table2.md").decode()
    assert "| scratch | 1 × – | – | 3 |" in markdown and "- **cat3\\_tuned**: fine-tuning" in markdown
    assert "-- & -- & 3 &" in trained.read("results/table2.tex").decode()
    steps = pq.read_table(trained.path / "results/metrics.parquet", columns=["arm", "steps"]).to_pylist()
    assert {row["arm"]: row["steps"] for row in steps} == {"cat1": 12, "cat3": 4, "cat3_tuned": 4, "scratch": None}


def test_transfers_write_the_same_columns_as_probes(trained):
    of_probe = pq.read_schema(trained.path / PROBE)
    without_gradient = of_probe.remove(of_probe.get_field_index("relative_gradient"))  # only probes have it
    for path in (TUNED, SCRATCH):
        assert pq.read_schema(trained.path / path) == without_gradient
        folder = (trained.path / path).parent
        assert [left.name for left in folder.glob(".*") if left.name != ".snakemake_timestamp"] == []
    metrics = pq.read_table(trained.path / TUNED)
    assert metrics.num_rows == 1 * 2 * 2 * 2 * 2  # replicate, weight decays, fits, epochs, splits
    assert metrics["members"].to_pylist()[0] == [2, 550, 23]
    log = trained.read("results/logs/transfer/cues_tiny/cues_tiny/cat3_tuned.log").decode()
    assert log.count("computing on the CPU") == 1 and "replicate 0 (seeds 2, 550, 23): paper: weight decay" in log


def test_a_finished_or_touched_study_runs_no_job(study):
    assert study.run() == {}
    touch_tree(study.path, time.time() + 10, lambda path: path.suffix in (".beton", ".safetensors", ".py"))
    assert study.run() == {}


def test_changed_finetune_settings_rerun_the_fine_tuned_arm_only(study):
    before = study.read(SCRATCH), study.read(PROBE)
    study.change_config(lambda values: values["finetune"].update(epochs=1))
    assert study.run() == {"transfer": 1, "tabulate": 1}
    assert max(pq.read_table(study.path / TUNED)["epoch"].to_pylist()) == 1
    assert (study.read(SCRATCH), study.read(PROBE)) == before


def test_changed_direct_settings_rerun_the_direct_arm_only(study):
    study.change_config(lambda values: values["direct"].update(backbone_lr=0.02))
    assert study.run("-n") == {"transfer": 1, "tabulate": 1}


def test_an_edit_of_transfer_code_runs_all_transfers(study):
    study.append("workflow_scripts/timecat/transfer/training.py", "\n# edited\n")
    assert study.run("-n") == {"transfer": 2, "tabulate": 1}


def test_changed_settings_of_the_probe_rerun_no_transfer(study):
    study.change_config(lambda values: values["probe"].update(lr=0.02))
    assert study.run("-n") == {"probe": 2, "tabulate": 1}


def test_a_changed_backbone_also_runs_the_direct_arm_again(study):
    study.change_config(lambda values: values["backbones"]["residual4"].update(width=8))
    jobs = study.run("-n")
    assert jobs["transfer"] == 2 and "write_dataset" not in jobs
