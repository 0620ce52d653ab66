"""Interrupted in the middle of a job and run again, the study gives what an uninterrupted run gives."""

import os
import signal
import subprocess
import time

import pytest

from tests.studies import StudyFolder

STEPS = 120  # of the job that is interrupted: some seconds
FOLDER = "results/checkpoints/cues_tiny/residual4/seed2"
TARGET = f"{FOLDER}/step{STEPS}.safetensors"
RESUME_FILE = f"{FOLDER}/.step{STEPS}.safetensors.resume.pt"


def long_job(study: StudyFolder) -> StudyFolder:
    """The study with one more, longer milestone, whose job saves its state after every step."""

    def change(values):
        values["pretrain"]["milestones"] = [STEPS]
        values["limits"] = {"resume_seconds": 0}

    study.change_config(change)
    return study


@pytest.fixture(scope="module")
def uninterrupted(finished, tmp_path_factory) -> StudyFolder:
    study = long_job(finished.copy(tmp_path_factory.mktemp("uninterrupted") / "study"))
    study.snakemake("--", TARGET)
    return study


def interrupt(study: StudyFolder, number: signal.Signals) -> None:
    """Start the long job, wait until it has saved its state, and send a signal to all its processes."""
    snakemake = subprocess.Popen(
        study.command("--", TARGET),
        cwd=study.path,
        env=study.environment(),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (study.path / RESUME_FILE).exists():
        assert snakemake.poll() is None and time.monotonic() < deadline, "the job never saved its state"
        time.sleep(0.02)
    os.killpg(snakemake.pid, number)
    snakemake.wait(timeout=60)
    assert not (study.path / TARGET).exists()


def finish(study: StudyFolder, uninterrupted: StudyFolder) -> None:
    """Run again, and compare with the uninterrupted run."""
    study.snakemake("--", TARGET)
    log = study.read(f"results/logs/pretrain/cues_tiny/residual4/seed2/step{STEPS}.log").decode()
    assert "continuing an interrupted job after step" in log
    for name in (f"step{STEPS}.safetensors", f"step{STEPS}.state.pt", f"step{STEPS}.jsonl"):
        assert study.read(f"{FOLDER}/{name}") == uninterrupted.read(f"{FOLDER}/{name}"), name
    assert [path.name for path in (study.path / FOLDER).glob(".*")] == []


def test_killed(study, uninterrupted):
    interrupt(long_job(study), signal.SIGKILL)
    study.snakemake("--unlock")  # Snakemake itself was killed, and left its lock
    finish(study, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end(study, uninterrupted, number):
    """What a scheduler's time limit sends, and what Ctrl-C sends: the step that was reached is kept."""
    interrupt(long_job(study), number)
    finish(study, uninterrupted)


def test_resume_file_of_other_code_is_ignored(study, uninterrupted):
    interrupt(long_job(study), signal.SIGKILL)
    study.snakemake("--unlock")
    study.append("workflow_scripts/timecat/training.py", "\n# edited\n")
    study.snakemake("--", TARGET)
    log = study.read(f"results/logs/pretrain/cues_tiny/residual4/seed2/step{STEPS}.log").decode()
    assert "ignoring" in log and "continuing an interrupted job" not in log
    assert study.read(TARGET) == uninterrupted.read(TARGET)
