"""Test a study whose results are in external storage, through Snakemake's storage plugin for file systems."""

import shutil

import pytest

from tests.infra.conftest import absent
from tests.support.studies import StudyFolder


@pytest.fixture(scope="module")
def rsync() -> None:
    """Skip the test if rsync is missing, with which the storage plugin copies files."""
    if shutil.which("rsync") is None:
        absent("rsync is not on PATH, and the storage plugin needs it: install rsync")


def test_results_in_external_storage_equal_local_results(rsync, native, tmp_path):
    """A second run finds the results in the storage, and starts no job."""
    study = StudyFolder.fresh(tmp_path / "study")
    study.change_config(lambda values: values.update(limits={"forkserver": True}))
    place = ["--default-storage-provider", "fs", "--default-storage-prefix", str(tmp_path / "store")]
    # As on nodes that share this folder but not the results: each job fetches its inputs and stores its outputs.
    place += ["--shared-fs-usage", "persistence", "source-cache", "sources", "software-deployment"]
    study.snakemake(*place, "--", "results/table2.csv")
    for table in ("table2.csv", "table2.svg", "metrics.parquet"):
        assert (tmp_path / "store/results" / table).read_bytes() == native.read(f"results/{table}"), table
    assert not (study.path / "results/table2.csv").exists()
    assert study.run(*place, "--", "results/table2.csv") == {}
