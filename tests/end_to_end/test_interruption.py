"""Interrupt a pretraining job, run it again, and compare the result with an uninterrupted run."""

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.studies import StudyFolder

STEPS = 120  # length of the job that is interrupted: some seconds
FOLDER = "results/checkpoints/cues_tiny/residual4/seed2"
TARGET = f"{FOLDER}/step{STEPS}.safetensors"
LOG = f"results/logs/pretrain/cues_tiny/residual4/seed2/step{STEPS}.log"
RESUME_FILE = f"{FOLDER}/.step{STEPS}.safetensors.resume.pt"


@pytest.fixture(autouse=True)
def own_processes(monkeypatch):
    """Run each job in a separate process, as on a cluster; tests/unit/runtime/test_forkserver.py interrupts forks."""
    monkeypatch.setattr(StudyFolder, "forks", False)


def long_job(study: StudyFolder) -> StudyFolder:
    """Add a later milestone to a study, and return the study.

    The job of the milestone saves its state after every step.
    """

    def change(values):
        values["pretrain"]["milestones"] = [STEPS]
        values["limits"] = {"resume_seconds": 0}

    study.change_config(change)
    return study


@pytest.fixture(scope="module")
def uninterrupted(finished, tmp_path_factory) -> StudyFolder:
    """Study whose long job ran without interruption. Do not change it."""
    study = long_job(finished.copy(tmp_path_factory.mktemp("uninterrupted") / "study"))
    study.snakemake("--", TARGET)
    return study


def start(study: StudyFolder) -> subprocess.Popen:
    """Start the long job in a new process group."""
    return subprocess.Popen(
        study.command("--", TARGET),
        cwd=study.path,
        env=study.environment(),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )


def wait_until(condition, snakemake: subprocess.Popen, problem: str) -> None:
    """Wait for a condition while Snakemake runs; fail with ``problem`` if Snakemake ends or 120 s pass."""
    deadline = time.monotonic() + 120
    while not condition():
        assert snakemake.poll() is None and time.monotonic() < deadline, problem
        time.sleep(0.02)


def interrupt(study: StudyFolder, number: signal.Signals) -> None:
    """Start the long job, wait until it has saved its state, and send a signal to all its processes."""
    snakemake = start(study)
    wait_until((study.path / RESUME_FILE).exists, snakemake, "the job did not save its state")
    os.killpg(snakemake.pid, number)
    snakemake.wait(timeout=60)
    assert not (study.path / TARGET).exists()


def finish(study: StudyFolder, uninterrupted: StudyFolder) -> None:
    """Run the long job again, and check that it resumes and gives the same files as the uninterrupted run."""
    study.snakemake("--", TARGET)
    log = study.read(LOG).decode()
    assert "continuing an interrupted job after step" in log
    assert_equal(study, uninterrupted)


def assert_equal(study: StudyFolder, uninterrupted: StudyFolder) -> None:
    """Check that the files of the long job have the same bytes in both studies, and that no temporary file is left."""
    for name in (f"step{STEPS}.safetensors", f"step{STEPS}.state.pt", f"step{STEPS}.jsonl"):
        assert study.read(f"{FOLDER}/{name}") == uninterrupted.read(f"{FOLDER}/{name}"), name
    assert [path.name for path in (study.path / FOLDER).glob(".*")] == []


def test_a_killed_run_resumes_from_its_last_saved_state(study, uninterrupted):
    interrupt(long_job(study), signal.SIGKILL)
    study.snakemake("--unlock")  # the killed Snakemake left its lock
    finish(study, uninterrupted)


def stage_of(snakemake: subprocess.Popen) -> int:
    """Return the process id of the pretraining stage that ``snakemake`` has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            ours = os.getpgid(int(folder.name)) == snakemake.pid
        except OSError:  # it has ended
            continue
        if ours and words[1:3] == [b"-m", b"workflow_scripts.pretrain"]:
            return int(folder.name)
    raise AssertionError("no stage is running")


def says_that_it_waits(study: StudyFolder) -> bool:
    """Return whether the log of the second job says that the job waits.

    Snakemake first removes the log of the first job.
    """
    with contextlib.suppress(FileNotFoundError):
        return b"waiting: another process" in study.read(LOG)
    return False


def test_the_next_job_waits_for_an_orphaned_stage(study, uninterrupted):
    """The stage survives a kill of Snakemake alone; the second job waits for it instead of writing the same files."""
    first = start(long_job(study))
    wait_until((study.path / RESUME_FILE).exists, first, "the job did not save its state")
    orphan = os.pidfd_open(stage_of(first))
    first.kill()
    first.wait(timeout=60)
    second = None
    try:
        signal.pidfd_send_signal(orphan, signal.SIGSTOP)  # so that the stage does not end before the second job starts
        study.snakemake("--unlock")
        second = start(study)
        wait_until(lambda: says_that_it_waits(study), second, "the second job did not wait")
        assert not (study.path / TARGET).exists()
        signal.pidfd_send_signal(orphan, signal.SIGCONT)
        assert second.wait(timeout=120) == 0
        assert select.select([orphan], [], [], 10)[0], "the orphan has not ended"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(orphan, signal.SIGKILL)
        os.close(orphan)
        if second is not None and second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
            second.wait()
    assert_equal(study, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_gets_a_signal_saves_its_last_step(study, uninterrupted, number):
    """The next run resumes from it. Schedulers send SIGTERM at the time limit, and Ctrl-C sends SIGINT."""
    interrupt(long_job(study), number)
    finish(study, uninterrupted)


def test_a_resume_file_of_other_code_is_ignored(study, uninterrupted):
    interrupt(long_job(study), signal.SIGKILL)
    study.snakemake("--unlock")
    study.append("workflow_scripts/timecat/pretraining/training.py", "\n# edited\n")
    study.snakemake("--", TARGET)
    log = study.read(LOG).decode()
    assert "ignoring" in log and "continuing an interrupted job" not in log
    assert study.read(TARGET) == uninterrupted.read(TARGET)
