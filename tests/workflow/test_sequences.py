"""Check the table of sequences in dry runs: its jobs, its design, and mistakes that are refused before any job."""

import pytest
import yaml

from tests.support.studies import ROOT, StudyFolder, jobs_of

WANTED = "results/genomics.csv"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


@pytest.mark.parametrize("config", ["config.yaml", "genomics.yaml"])
def test_the_table_has_the_expected_jobs(fresh, config):
    jobs = jobs_of(fresh.snakemake("-n", "--", WANTED, config=f"config/{config}"))
    values = yaml.safe_load((ROOT / "config" / config).read_text())
    table = values["genomics"]
    rows = [next((arm for arm in values["arms"] if arm["name"] == row), row) for row in table["arms"]]
    targets = len(table.get("targets") or values["targets"])
    single, several, direct, *own = rows
    assert direct["transfer"] == "direct" and all(arm["pretrained_on"] == "target" for arm in own)
    seeds = len(several.get("seeds") or values["pretrain"]["seeds"])
    long = len(single.get("seeds") or table.get("seeds") or values["pretrain"]["seeds"])
    # Long runs continue short runs of the same seeds. Floors have an untrained network for each seed. Networks that are
    # pretrained on a task, and their floors, are probed only on that task.
    checkpoints, alone = seeds + long, len(own) * seeds * targets
    assert jobs == {
        "write_dataset": 2 * (1 + targets),
        "pretrain": checkpoints + alone,
        "initialise": seeds + alone,
        "extract_features": (checkpoints + seeds) * targets + 2 * alone,
        "probe": 2 * (2 + len(own)) * targets,
        "transfer": targets,
        "tabulate_gap": 1,
    }


def test_the_embedded_arms_have_equal_budgets():
    arms = yaml.safe_load((ROOT / "config/config.yaml").read_text())["genomics"]["arms"]
    assert arms[0]["steps"] == arms[1]["members"] * arms[1]["steps"]


def test_every_task_has_at_least_a_thousand_rows_for_evaluation():
    from workflow_scripts.timecat.images.datasets.motifs import TASKS

    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert values["data_sets"]["motifs"]["rows"]["evaluation"] // len(TASKS) >= 1000
    assert values["genomics"]["targets"] == list(TASKS)
    for task in TASKS:
        assert values["data_sets"][task] == {"kind": "part", "of": "motifs", "where": {"task": [task]}}


def test_a_sequence_backbone_on_images_is_refused(fresh):
    text = (
        (ROOT / "config/config.yaml")
        .read_text()
        .replace("targets: [single, spaced", "targets: [digits, single, spaced")
    )
    (fresh.path / "config/wrong.yaml").write_text(text)
    done = fresh.snakemake("-n", "--", WANTED, config="config/wrong.yaml", check=False)
    assert (
        done.returncode
        and (
            "config/wrong.yaml: `backbones.sequence12.architecture`: sequence_residual reads sequences, and 'digits' has images;"
        )
        in done.stdout + done.stderr
    )
