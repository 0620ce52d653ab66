"""Check the studies of Waterbirds and CelebA in dry runs, which need no data."""

import re

import pytest

from tests.support.studies import ROOT, StudyFolder, jobs_of
from workflow_scripts.timecat.config.reading import load_unique, read_config

WANTED = "results/spurious.csv"
STUDIES = {"waterbirds": "place", "celeba": "male"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


@pytest.mark.parametrize(("name", "group"), STUDIES.items())
def test_a_study_of_worst_groups_has_the_expected_jobs(fresh, name, group):
    """12 seeds reach the steps of the short run, and 3 of them continue; there are three kinds of training rows.

    The floors of four arms share 12 untrained networks, and there is a projection of the pixels.
    """
    dry = fresh.snakemake("-n", "-p", "--", WANTED, config=f"config/{name}.yaml")
    assert jobs_of(dry) == {
        "write_dataset": 2 * 3,
        "pretrain": 12 + 3,
        "initialise": 12 + 1,
        "extract_features": (12 + 3 + 12 + 1) * 3,
        "probe": (2 + 2 + 1) * 3,
        "reweight": (2 + 2) * 3,
        "transfer": 3,
        "tabulate_spurious": 1,
    }
    reweighted = re.findall(r"python -m workflow_scripts.reweight (.*)", dry.stdout)
    assert len(reweighted) == 12 and all(f'"groups":["{group}"]' in line for line in reweighted)
    (of_validation,) = [
        line
        for line in re.findall(r"python -m workflow_scripts.write_dataset (.*)", dry.stdout)
        if f"{name}_validation/train.beton" in line and '"train_split":"val"' in line
    ]
    assert f'"kind":"{name}"' in of_validation


@pytest.mark.parametrize("name", STUDIES)
def test_published_accuracies_have_their_arms_and_data_sets(name):
    config = read_config(load_unique(ROOT / f"config/{name}.yaml"), [])
    published = {arm.name: arm.published for arm in config.all_arms.values() if arm.published}
    assert (
        published
        == {
            "waterbirds": {
                "biased_cat1": {"waterbirds": 74.9},
                "reweighted_cat1": {"waterbirds": 90.2, "waterbirds_validation": 92.0},
            },
            "celeba": {"biased_cat1": {"celeba": 46.9}, "reweighted_cat1": {"celeba_validation": 88.02}},
        }[name]
    )
