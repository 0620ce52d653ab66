"""Test results in a storage elsewhere, through Snakemake's storage plugin for file systems."""

import shutil

import pytest

from tests.infra.conftest import absent
from tests.support.studies import StudyFolder


@pytest.fixture(scope="module")
def rsync() -> None:
    if shutil.which("rsync") is None:
        absent("rsync, which the storage plugin copies with, is not on PATH")


def test_results_in_a_storage_have_the_same_bytes_and_are_made_once(rsync, native, tmp_path):
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
