"""Run jobs on two devices: results equal the results on one device, and a killed job resumes.

Devices are pretended (devices.PRETENDED): jobs lease them, but compute on the CPU and communicate through gloo.
"""

import os
import re
import signal
import subprocess

import pytest
import torch

from tests.end_to_end.test_interruption import FOLDER, STEPS, interrupt, long_job
from tests.end_to_end.test_interruption import TARGET as LONG_TARGET
from tests.support.studies import StudyFolder
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.runtime.devices import PRETENDED

FEATURES = "results/features/cues_tiny/residual4/seed2/step12/cues_tiny"
LOGS = "results/logs"


class PretendingFolder(StudyFolder):
    """A study on a machine with two pretended devices."""

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in super().environment().items() if name != "CUDA_VISIBLE_DEVICES"}
        # All processes of the machine share locks, so each parallel test process uses different names of devices.
        return inherited | {PRETENDED: f"2:{os.environ.get('PYTEST_XDIST_WORKER', '')}"}


def on_two_devices(study: StudyFolder, accumulation: int = 2, **limits) -> PretendingFolder:
    """Return the study with limits for two devices.

    With two accumulated parts, a batch is the same sum on one or two devices. Features are extracted image by image,
    because libraries may round differently for a different batch size.
    """

    def change(values):
        values["pretrain"]["accumulation"] = accumulation
        values["features"] = {"batch_size": 1}
        values["limits"] = limits

    study.change_config(change)
    return PretendingFolder(study.path)


def logs(study: StudyFolder, stage: str) -> list[str]:
    """Return the texts of all logs of a stage."""
    return [path.read_text() for path in (study.path / LOGS / stage).rglob("*.log")]


def test_two_devices_give_the_same_results_as_one(study, tmp_path):
    one = on_two_devices(study)
    two = on_two_devices(study.copy(tmp_path / "two"), pretrain_gpus=2, extract_gpus=2)
    for folder, devices in ((one, 1), (two, 2)):
        ran = folder.run("--resources", f"gpu={devices}", "--", "results/table2.csv")
        assert ran == {"pretrain": 4, "extract_features": 4, "probe": 2, "tabulate": 1}
    for stage in ("pretrain", "extract_features"):
        assert all("computing on pretended GPU 0, 1\n2 processes share the work" in log for log in logs(two, stage))
        assert all(
            re.match(r"(?:waiting.*\n)?computing on pretended GPU [01]\n(?!2 proc)", log) for log in logs(one, stage)
        )
    for folder, device in ((one, "cpu"), (two, "2 x cpu")):
        for artifact in (FEATURES, "results/checkpoints/cues_tiny/residual4/seed2/step12.safetensors"):
            assert read_sidecar(folder.path / artifact)["describes"]["device"] == device
    assert one.checkpoints() == two.checkpoints()
    for name in ("evaluation.center.npy", "heldout.center.npy", "train.view0.npy"):
        assert one.read(f"{FEATURES}/{name}") == two.read(f"{FEATURES}/{name}"), name
    assert one.read("results/table2.csv") == two.read("results/table2.csv")


@pytest.fixture(scope="module")
def uninterrupted(finished, tmp_path_factory) -> StudyFolder:
    """Study whose long job ran on one device without interruption. Do not change it."""
    study = on_two_devices(long_job(finished.copy(tmp_path_factory.mktemp("uninterrupted") / "study")))
    study.snakemake("--", LONG_TARGET)
    return study


def state_of(study: StudyFolder) -> dict[str, bytes]:
    """Return the bytes of the tensors of the training state.

    Running statistics of batch norm are left out: they come from the images of the leading process, and are not used.
    """
    saved = torch.load(study.path / FOLDER / f"step{STEPS}.state.pt", weights_only=True)
    tensors = {name: value for name, value in saved["model"].items() if ".running_" not in name}
    for number, values in saved["optimizer"]["state"].items():
        tensors |= {f"{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
    return {name: value.numpy().tobytes() for name, value in tensors.items() if "num_batches" not in name}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_on_two_devices_resumes(study, uninterrupted, number):
    two = on_two_devices(long_job(study), pretrain_gpus=2, resume_seconds=0)
    interrupt(two, number)
    if number == signal.SIGKILL:
        two.snakemake("--unlock")
    two.snakemake("--", LONG_TARGET)
    for name in ("safetensors", "jsonl"):
        assert two.read(f"{FOLDER}/step{STEPS}.{name}") == uninterrupted.read(f"{FOLDER}/step{STEPS}.{name}")
    assert state_of(two) == state_of(uninterrupted)
    assert [path.name for path in (two.path / FOLDER).glob(".*")] == []
    assert any(
        "continuing an interrupted job after step" in log and "2 processes share the work" in log
        for log in logs(two, "pretrain")
    )


# Code with which a job holds its device until the log of a second job says that the second job waits.
UNTIL_ANOTHER_WAITS = """
        import time
        until, folder = time.monotonic() + 300, Path("results/logs/extract_features")
        while not any("waiting for" in log.read_text() for log in folder.rglob("*.log")) and time.monotonic() < until:
            time.sleep(0.1)
"""


def test_concurrent_jobs_hold_distinct_devices(study):
    """Snakemake starts four extraction jobs at the same time on two devices.

    Both devices are used, some logs say that the job waits, and all jobs end.
    """
    two = on_two_devices(
        study, accumulation=1
    )  # same recipe as the finished checkpoints, so that all four jobs can start
    two.edit(
        "workflow_scripts/timecat/features/job.py",
        "        lease = devices.lease(options.gpus)\n",
        "        lease = devices.lease(options.gpus)\n" + UNTIL_ANOTHER_WAITS,
    )
    ran = two.run("--resources", "gpu=9", "--", "results/table2.csv", cores=8)
    assert ran["extract_features"] == 4 and "pretrain" not in ran
    said = logs(two, "extract_features")
    held = [re.match(r"(?:waiting.*\n)?computing on pretended GPU ([01])\n", log) for log in said]
    assert len(held) == 4 and all(held) and {found[1] for found in held} == {"0", "1"}
    assert any(log.startswith("waiting for 1 of the GPUs 0, 1: other jobs hold them\n") for log in said)


def test_gpu_0_hides_all_devices(study):
    two = on_two_devices(study, extract_gpus=2)
    two.snakemake("--forcerun", "extract_features", "--resources", "gpu=0", "--", f"{FEATURES}.json")
    assert any("computing on the CPU: no GPU was requested (gpu=0)" in log for log in logs(two, "extract_features"))


def test_a_failing_follower_leaves_no_output_and_reports_the_error(study):
    """Only rows of the second process (the follower) have a value that is too large for float16."""
    two = on_two_devices(study, extract_gpus=2)
    two.edit(
        "workflow_scripts/timecat/features/extraction.py",
        "                    check_range(features, dtype, path)\n",
        "                    check_range(features * (1e9 if rank == 1 else 1), dtype, path)\n",
    )
    done = two.snakemake("--", f"{FEATURES}.json", check=False)
    assert isinstance(done, subprocess.CompletedProcess) and done.returncode == 1
    log = two.read(f"{LOGS}/extract_features/cues_tiny/residual4/seed2/step12/cues_tiny.log").decode()
    assert "does not fit float16; set features.dtype: float32" in log
    assert "another process of this job ended with status 1" in log and "Traceback" not in log
    assert not (two.path / FEATURES).exists()
