"""Results in a storage of their own, through Snakemake's plugin for file systems: the same bytes, and nothing twice."""

import shutil

import pytest

from tests.infra.conftest import absent
from tests.support.studies import StudyFolder


@pytest.fixture(scope="module")
def rsync() -> None:
    if shutil.which("rsync") is None:
        absent("rsync, with which the plugin copies, is not on PATH")


def test_a_study_with_its_results_elsewhere(rsync, native, tmp_path):
    study = StudyFolder.fresh(tmp_path / "study")
    study.change_config(lambda values: values.update(limits={"forkserver": True}))
    place = ["--default-storage-provider", "fs", "--default-storage-prefix", str(tmp_path / "store")]
    # As on nodes that share this folder and not the results: each job fetches what it reads, and brings what it makes.
    place += ["--shared-fs-usage", "persistence", "source-cache", "sources", "software-deployment"]
    study.snakemake(*place, "--", "results/table2.csv")
    for table in ("table2.csv", "table2.svg", "metrics.parquet"):
        assert (tmp_path / "store/results" / table).read_bytes() == native.read(f"results/{table}"), table
    assert not (study.path / "results/table2.csv").exists()
    assert study.run(*place, "--", "results/table2.csv") == {}
