"""GPUs are leased: concurrent jobs get distinct devices, and a dead job's device is free. Devices are pretended."""

import os
import signal
import subprocess
import sys

import pytest

from workflow_scripts.timecat import devices

JOB = """
import os, sys, time
from workflow_scripts.timecat import devices
devices.acquire({count}, {gpus!r}, {folder!r}, poll_seconds=0.05)
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start(root, tmp_path):
    """Start a job that leases ``count`` of ``gpus`` and holds them."""
    jobs = []

    def start_job(gpus, count=1):
        code = JOB.format(count=count, gpus=gpus, folder=str(tmp_path))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        job = subprocess.Popen([sys.executable, "-c", code], cwd=root, text=True, **pipes)
        jobs.append(job)
        return job

    yield start_job
    for job in jobs:
        job.kill()
        job.communicate()


def test_jobs_get_distinct_devices_and_a_killed_jobs_device_is_free(start):
    gpus = ["0", "1", "2"]
    jobs = [start(gpus) for _ in gpus]
    held = [job.stdout.readline().strip() for job in jobs]
    assert sorted(held) == gpus
    late = start(gpus)
    assert "waiting" in late.stderr.readline()
    os.kill(jobs[1].pid, signal.SIGKILL)
    assert late.stdout.readline().strip() == held[1]


def test_a_job_takes_all_its_devices(start):
    assert start(["4", "7"], count=2).stdout.readline().strip() == "4,7"


@pytest.mark.parametrize(("requested", "said"), [(4, "no GPU is visible"), (0, "no GPU was asked for")])
def test_without_devices_the_cpu_is_used_and_said_once(requested, said, capsys):
    assert devices.acquire(requested, []) == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert capsys.readouterr().err.count(said) == 1


def test_fewer_devices_than_asked_for_are_used_and_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "_held", [])
    assert devices.acquire(2, ["0"], tmp_path) == "cuda"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert "asked for 2 GPUs, 1 visible" in capsys.readouterr().err


def test_inherited_visible_devices_are_respected(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-abc")
    assert devices.visible_devices() == ["2", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.visible_devices() == []


def test_inside_slurm_nothing_is_leased(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    devices.acquire(1, ["3"], tmp_path)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3" and list(tmp_path.iterdir()) == []
