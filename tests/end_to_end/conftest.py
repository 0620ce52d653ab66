"""Fixtures of end-to-end tests: the finished tiny study, which runs once, and a copy for each test."""

import fcntl

import pytest

from tests.support.studies import StudyFolder


@pytest.fixture(scope="package", autouse=True)
def forks():
    """Run jobs as forks, except in the fixture ``finished`` and in tests of interruptions."""
    StudyFolder.forks = True
    yield
    StudyFolder.forks = False


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> StudyFolder:
    """Finished tiny study, whose jobs ran in separate processes. Do not change it: copy it."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # parallel test processes share one study
        shared = shared.parent
    with open(shared / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = shared / "finished"
        if (folder / "results/table2.csv").exists():
            return StudyFolder(folder)
        study = StudyFolder.fresh(folder)
        study.forks = False
        study.snakemake()
        return study


@pytest.fixture
def study(finished, tmp_path) -> StudyFolder:
    """Copy of the finished tiny study, which a test may change."""
    return finished.copy(tmp_path / "study")
