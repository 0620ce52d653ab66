"""Test one pretraining job on several nodes, simulated by two tasks of one job of a real Slurm."""

import re
import shlex
import subprocess
import time

import pytest

from tests.infra.conftest import shell_command
from tests.infra.test_slurm import FOLDER, GPUS, STEPS, longer, queued, study, target, uninterrupted  # noqa: F401
from tests.support.studies import StudyFolder

pytestmark = pytest.mark.usefixtures("slurm")
LOG = f"results/logs/pretrain/cues_tiny/residual4/seed2/step{STEPS}.log"


def divided(study: StudyFolder, nodes: int) -> str:  # noqa: F811
    """Return the command of the pretraining stage for two GPUs on ``nodes`` nodes.

    The function also makes the folder for the log of the job.
    """

    def change(values):
        values["limits"] |= {"pretrain_gpus": 2, "pretrain_nodes": nodes}

    study.change_config(change)
    shown = study.snakemake("-n", "-p", "--", target()).stdout
    command = shell_command(shown, "pretrain")
    (study.path / LOG).parent.mkdir(parents=True, exist_ok=True)
    assert f"--nodes {nodes}" in command and "--gpus 2" in command
    return command


class Job:
    """Job of Slurm whose state is polled every half second.

    ``sbatch --wait`` would poll at longer and longer intervals.
    """

    def __init__(self, number: str):
        self.number = number

    def poll(self) -> int | None:
        """Return the exit status (minus the signal's number if killed), or None while the job waits or runs."""
        shown = subprocess.run(["scontrol", "show", "job", self.number], check=True, capture_output=True, text=True)
        state, status, number = re.search(r"JobState=(\w+).*ExitCode=(\d+):(\d+)", shown.stdout, re.DOTALL).groups()
        return None if state in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING") else int(status) or -int(number)

    def wait(self, timeout: float) -> int:
        """Wait until the job ends, and return its exit status. timeout: seconds."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            assert time.monotonic() < deadline, f"job {self.number} does not end"
            time.sleep(0.5)
        return status


def submit(study: StudyFolder, command: str, tasks: int) -> Job:  # noqa: F811
    """Submit a command as a job with two GPUs and ``tasks`` tasks, and return the job."""
    words = ["sbatch", "--parsable", "--output=slurm.out", f"--ntasks={tasks}", "--gpus=2", "--cpus-per-task=1"]
    done = subprocess.run(
        [*words, "--mem=6000", "--wrap", f"bash -c {shlex.quote(command)}"],
        cwd=study.path,
        env=study.environment() | GPUS,
        check=True,
        capture_output=True,
        text=True,
    )
    return Job(done.stdout.strip())


def test_two_nodes_give_the_same_weights_as_one(study, tmp_path):  # noqa: F811
    """Both runs use two GPUs: in one task, or one GPU in each of two tasks."""
    alone = study.copy(tmp_path / "alone")
    assert submit(alone, divided(alone, 1), 1).wait(timeout=180) == 0, alone.read(LOG).decode()
    assert submit(study, divided(study, 2), 2).wait(timeout=180) == 0, study.read(LOG).decode()
    assert "2 processes share the work, one for each device of 2 nodes" in study.read(LOG).decode()
    gpus = re.findall(r"computing on pretended GPU (\d)", study.read(LOG).decode())
    assert sorted(gpus) == ["0", "1"], "each task has one of the job's GPUs"
    assert study.read(target()) == alone.read(target())


def test_a_killed_task_ends_the_job(study):  # noqa: F811
    """The log has a one-line error message, and the next run resumes from the saved state."""
    job = submit(study, divided(study, 2), 2)
    resume = study.path / FOLDER.format(2) / f".step{STEPS}.safetensors.resume.pt"
    while not resume.exists():
        assert job.poll() is None, study.read(LOG).decode()
        time.sleep(0.05)
    # Slurm's step 0 of the job is the second task, which the leading process has started.
    subprocess.run(["scancel", "--signal=KILL", f"{job.number}.0"], check=True)
    assert job.wait(timeout=120) == 1
    log = study.read(LOG).decode()
    assert "error: another process of this job ended with status" in log and not queued()
    assert submit(study, divided(study, 2), 2).wait(timeout=180) == 0
    assert "continuing an interrupted job after step" in study.read(LOG).decode()


def test_several_nodes_without_slurm_are_refused(study, tmp_path):  # noqa: F811
    divided(study, 2)
    done = study.snakemake("--", target(), check=False)
    assert done.returncode == 1 and "limits.pretrain_nodes is 2, but this is not a Slurm job" in done.stderr
