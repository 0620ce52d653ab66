"""The finished tiny study that most end-to-end tests start from: made once, copied by each test."""

import fcntl

import pytest

from tests.support.studies import StudyFolder


@pytest.fixture(scope="package", autouse=True)
def forks():
    """Jobs of these tests are forks, but for those of ``finished`` and of tests of interruptions."""
    StudyFolder.forks = True
    yield
    StudyFolder.forks = False


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> StudyFolder:
    """The tiny study, run whole, each job in a process of its own. Do not change it: copy it."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # parallel test processes make it once
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
    """A copy of the finished tiny study, to change."""
    return finished.copy(tmp_path / "study")
