"""Check studies with arms of all modes of transfer (probe, finetune, direct) in dry runs: their jobs and commands."""

import pytest

from tests.support.studies import StudyFolder, jobs_of

PROBED = {"name": "cat3", "members": 3, "steps": 4}
TUNED = {"name": "cat3_tuned", "members": 3, "steps": 4, "transfer": "finetune"}
DIRECT = {"name": "scratch", "members": 1, "transfer": "direct"}
CELLS = "results/{}/cues_tiny/cues_tiny/{}.parquet"


@pytest.fixture
def study(tmp_path) -> StudyFolder:
    return StudyFolder.fresh(tmp_path / "study")


def with_arms(study: StudyFolder, *arms: dict) -> StudyFolder:
    """Replace the arms of a study's config, and return the study."""
    study.change_config(lambda values: values.update(arms=list(arms)))
    return study


def jobs(study: StudyFolder, *options: str) -> dict[str, int]:
    """Return the numbers of jobs of a dry run by rule, without jobs that write data sets."""
    found = jobs_of(study.snakemake("-n", *options))
    assert found.pop("write_dataset", 1) > 0
    return found


def test_arms_of_three_modes_have_the_expected_jobs(study):
    """Three seeds reach steps 4 and 8, and one reaches step 12.

    Only probed checkpoints have features, and all replicates of an arm share a job.
    """
    first = {"name": "cat1", "members": 1, "steps": 12, "replicates": [[2]]}
    with_arms(study, first, PROBED, TUNED, TUNED | {"name": "late", "members": 1, "steps": 8}, DIRECT)
    assert jobs(study) == {"pretrain": 3 + 3 + 1, "extract_features": 4, "probe": 2, "transfer": 3, "tabulate": 1}
    dry = study.snakemake("-n", "--", CELLS.format("transfers", "late"))
    assert jobs_of(dry)["transfer"] == 1 and jobs_of(dry)["pretrain"] == 6
    for seed in (2, 550, 23):
        assert f"results/checkpoints/cues_tiny/residual4/seed{seed}/step8.safetensors" in dry.stdout


def test_a_direct_arm_needs_no_pretraining(study):
    assert jobs(with_arms(study, DIRECT)) == {"transfer": 1, "tabulate": 1}


def test_a_fine_tuned_arm_needs_no_features(study):
    assert jobs(with_arms(study, TUNED)) == {"pretrain": 3, "transfer": 1, "tabulate": 1}


@pytest.mark.parametrize(("folder", "arm"), [("transfers", "cat3"), ("probes", "cat3_tuned"), ("probes", "scratch")])
def test_only_one_rule_makes_an_arm(study, folder, arm):
    with_arms(study, PROBED, TUNED, DIRECT)
    done = study.snakemake("-n", "--", CELLS.format(folder, arm), check=False)
    assert done.returncode == 1 and "MissingRuleException" in done.stdout + done.stderr


def test_commands_have_the_settings_of_their_mode(study):
    """A direct job gets the settings of the backbone.

    A fine-tuning job does not, because the weights files contain them.
    """
    with_arms(study, PROBED, TUNED, DIRECT)
    tuned, direct = (
        study.snakemake("-n", "-p", "--", CELLS.format("transfers", arm)).stdout for arm in ("cat3_tuned", "scratch")
    )
    assert "--mode finetune" in tuned and "--backbone null" in tuned and '"backbone_lr":0.001' in tuned
    assert "--mode direct" in direct and "small_residual" in direct and '"backbone_lr":0.01' in direct
    assert "--initialisation null" in tuned and '"zero_gamma":false' in direct
    assert "--weights  --backbone" in direct and "weight_decays" in direct
