"""Tests on real Apptainer and Slurm: skipped, with the reason, where they are absent; `make test-infra` forbids that."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.studies import ROOT, StudyFolder

REQUIRED = "TIMECAT_INFRA_REQUIRED"  # in the environment: what is absent is a failure
HERE = Path(__file__).parent
IMAGE, DIGEST = "containers/timecat.sif", "containers/timecat.sif.sha256"


def absent(reason: str) -> None:
    """Skip, or fail where that is forbidden."""
    if REQUIRED in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def built_here(values: dict) -> None:
    """A config whose image is built on this machine's own Debian, without what only a GPU's work loads."""
    values["container"] = {"bootstrap": "localimage", "base": str(base_image()), "gpu": False}


def base_image() -> Path:
    return ROOT / ".cache/infra/base.sif"


def fresh_study(path: Path) -> StudyFolder:
    """A copy of the repository with the tiny study, whose image is built here."""
    study = StudyFolder.fresh(path)
    study.change_config(built_here)
    return study


@contextlib.contextmanager
def shared(tmp_path_factory, worker_id: str, name: str):
    """A folder that all test processes of a run share, held under a name by one of them at a time."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent
    with open(folder / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture(scope="session")
def apptainer(tmp_path_factory, worker_id) -> None:
    """Apptainer, and a base for images."""
    if shutil.which("apptainer") is None:
        absent("apptainer is not on PATH")
    with shared(tmp_path_factory, worker_id, "base"):
        if not base_image().exists():
            if os.getuid() != 0 or shutil.which("apt-get") is None:
                absent("a base image is made by root on Debian")
            # Its folders of work are in memory where there is room, and so are the builds'.
            subprocess.run([HERE / "make-base-sif", base_image()], check=True)


@pytest.fixture
def slurm(tmp_path_factory, worker_id):
    """A Slurm that answers, and that no other test uses: some restart its scheduler, all look at its queue."""
    if shutil.which("sbatch") is None:
        absent("sbatch is not on PATH")
    if subprocess.run(["scontrol", "ping"], capture_output=True).returncode:
        absent("slurmctld does not answer")
    with shared(tmp_path_factory, worker_id, "slurm"):
        yield


@pytest.fixture(scope="session")
def native(tmp_path_factory) -> StudyFolder:
    """The tiny study, run without containers or clusters. Do not change it: copy it."""
    study = fresh_study(tmp_path_factory.mktemp("native") / "study")
    study.forks = True
    study.snakemake("--", "results/table2.csv")
    return study


@pytest.fixture(scope="session")
def built(apptainer, tmp_path_factory, worker_id) -> StudyFolder:
    """A fresh tiny study whose image its own rule has built, once for all tests. Do not change it: copy it."""
    with shared(tmp_path_factory, worker_id, "built") as folder:
        if (folder / "built" / DIGEST).exists():
            return StudyFolder(folder / "built")
        study = fresh_study(folder / "built")
        study.snakemake("--", IMAGE, timeout=1500, variables=in_memory(tmp_path_factory))
        return study


def in_memory(tmp_path_factory) -> dict[str, str]:
    """Where Apptainer unpacks: memory, if there is enough of it, is five times faster than a small machine's disk."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 16e9:
        folder = memory / f"timecat-{os.getpid()}"
        folder.mkdir(exist_ok=True)
    else:
        folder = tmp_path_factory.mktemp("apptainer")
    return {"APPTAINER_TMPDIR": str(folder)}


def with_image(study: StudyFolder, built: StudyFolder) -> StudyFolder:
    """Give a study the image that was built: links to its files, and nothing to build again."""
    for name in (IMAGE, DIGEST):
        os.link(built.path / name, study.path / name)
    return study


def shell_command(shown: str, stage: str) -> str:
    """The one command line of a stage that a dry run has printed (``snakemake -n -p``)."""
    (line,) = [line for line in shown.splitlines() if f"-m workflow_scripts.{stage} " in line]
    return line[line.index("python -m") :].strip()
