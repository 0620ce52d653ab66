"""Fixtures for tests with a real Apptainer and Slurm.

If these programs are missing, tests are skipped; under `make test-infra` they fail.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.studies import ROOT, StudyFolder

REQUIRED = "TIMECAT_INFRA_REQUIRED"  # environment variable: if it is set, a missing tool fails a test
HERE = Path(__file__).parent
IMAGE, DIGEST = "containers/timecat.sif", "containers/timecat.sif.sha256"


def absent(reason: str) -> None:
    """Skip the test with a reason, or fail it if the environment variable TIMECAT_INFRA_REQUIRED is set."""
    if REQUIRED in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def built_here(values: dict) -> None:
    """Change a config so that its image is built from this machine's Debian, without packages that only GPUs need."""
    values["container"] = {"bootstrap": "localimage", "base": str(base_image()), "gpu": False}


def base_image() -> Path:
    return ROOT / ".cache/infra/base.sif"


def fresh_study(path: Path) -> StudyFolder:
    """Return a copy of the repository in which the tiny study's image is built on this machine's Debian."""
    study = StudyFolder.fresh(path)
    study.change_config(built_here)
    return study


@contextlib.contextmanager
def shared(tmp_path_factory, worker_id: str, name: str):
    """Lock ``name`` among all test processes of a run, and yield the folder that they share."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent
    with open(folder / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture(scope="session")
def apptainer(tmp_path_factory, worker_id) -> None:
    """Skip the test if Apptainer is missing, and make the base image if there is none."""
    if shutil.which("apptainer") is None:
        absent("apptainer is not on PATH: run tests/infra/install-apptainer as root")
    with shared(tmp_path_factory, worker_id, "base"):
        if not base_image().exists():
            if os.getuid() != 0 or shutil.which("apt-get") is None:
                absent(
                    "the base image is missing: run tests/infra/make-base-sif .cache/infra/base.sif as root on Debian"
                )
            # The script works in memory if there is room, as do builds of images.
            subprocess.run([HERE / "make-base-sif", base_image()], check=True)


@pytest.fixture
def slurm(tmp_path_factory, worker_id):
    """Skip the test if no Slurm answers, and let only one test use Slurm at a time.

    Tests look at Slurm's queue, and some restart its scheduler.
    """
    if shutil.which("sbatch") is None:
        absent("sbatch is not on PATH: run tests/infra/start-slurm as root")
    if subprocess.run(["scontrol", "ping"], capture_output=True).returncode:
        absent("slurmctld does not answer: run tests/infra/start-slurm as root")
    with shared(tmp_path_factory, worker_id, "slurm"):
        yield


@pytest.fixture(scope="session")
def native(tmp_path_factory) -> StudyFolder:
    """Finished tiny study that ran without container or cluster. Do not change it: copy it."""
    study = fresh_study(tmp_path_factory.mktemp("native") / "study")
    study.forks = True
    study.snakemake("--", "results/table2.csv")
    return study


@pytest.fixture(scope="session")
def built(apptainer, tmp_path_factory, worker_id) -> StudyFolder:
    """Tiny study in which a rule has built the container image, once for all tests. Do not change it: copy it."""
    with shared(tmp_path_factory, worker_id, "built") as folder:
        if (folder / "built" / DIGEST).exists():
            return StudyFolder(folder / "built")
        study = fresh_study(folder / "built")
        study.snakemake("--", IMAGE, timeout=1500, variables=in_memory(tmp_path_factory))
        return study


def in_memory(tmp_path_factory) -> dict[str, str]:
    """Return environment variables that put Apptainer's temporary folder into memory, if it fits.

    Memory is five times as fast as a disk.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 16e9:
        folder = memory / f"timecat-{os.getpid()}"
        folder.mkdir(exist_ok=True)
    else:
        folder = tmp_path_factory.mktemp("apptainer")
    return {"APPTAINER_TMPDIR": str(folder)}


def with_image(study: StudyFolder, built: StudyFolder) -> StudyFolder:
    """Link the built image into a study, so that it is not built again; return the study."""
    for name in (IMAGE, DIGEST):
        os.link(built.path / name, study.path / name)
    return study


def shell_command(shown: str, stage: str) -> str:
    """Return the only command line of a stage in the output of a dry run (``snakemake -n -p``)."""
    (line,) = [line for line in shown.splitlines() if f"-m workflow_scripts.{stage} " in line]
    return line[line.index("python -m") :].strip()
