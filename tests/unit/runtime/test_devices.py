"""Test that concurrent jobs lease distinct GPUs, and that a killed job's GPU is free. The GPUs are pretended."""

import os
import signal
import subprocess
import sys

import pytest

from workflow_scripts.timecat.runtime import devices

JOB = """
import os, time
from workflow_scripts.timecat.runtime import devices
devices.acquire({count}, {gpus!r}, {folder!r}, poll_seconds=0.05)
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(60)
"""
CARDS = {"0": "GPU-aa", "1": "GPU-bb", "2": "GPU-cc"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # so that the variable is restored after the test, even if the test sets it
        monkeypatch.delenv(name)


@pytest.fixture
def start(root, tmp_path):
    """Function that starts a job, which leases ``count`` of ``gpus`` until it ends, and returns its process."""
    jobs = []

    def start_job(gpus, count=1, **environment):
        code = JOB.format(count=count, gpus=gpus, folder=str(tmp_path))
        job = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
        )
        jobs.append(job)
        return job

    yield start_job
    for job in jobs:
        job.kill()
        job.communicate()


def test_concurrent_jobs_get_distinct_devices(start):
    """A further job waits until a job is killed, and then gets the device of the killed job."""
    jobs = [start(CARDS) for _ in CARDS]
    held = [job.stdout.readline().strip() for job in jobs]
    assert sorted(held) == list(CARDS)
    late = start(CARDS)
    assert "waiting" in late.stderr.readline()
    os.kill(jobs[1].pid, signal.SIGKILL)
    assert late.stdout.readline().strip() == held[1]


def test_a_job_takes_all_its_devices(start):
    assert start({"4": "GPU-dd", "7": "GPU-ee"}, count=2).stdout.readline().strip() == "4,7"


def test_leases_are_exclusive_within_one_slurm_job_only(start):
    first, second = (start({"0": "GPU-aa", "1": "GPU-bb"}, SLURM_JOB_ID="7") for _ in range(2))
    assert {job.stdout.readline().strip() for job in (first, second)} == {"0", "1"}
    assert start({"0": "GPU-aa"}, SLURM_JOB_ID="8").stdout.readline().strip() == "0"


def test_one_card_under_two_names_is_leased_once(start):
    first = start({"0": "GPU-aa"})
    assert first.stdout.readline().strip() == "0"
    assert "waiting" in start({"GPU-aa": "GPU-aa"}).stderr.readline()


@pytest.mark.parametrize(("requested", "said"), [(4, "no GPU is visible"), (0, "no GPU was requested")])
def test_without_devices_the_cpu_is_used(requested, said, capsys):
    """The choice is logged once."""
    assert devices.acquire(requested, {}) == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert capsys.readouterr().err.count(said) == 1


def test_fewer_devices_than_requested_are_used(tmp_path, capsys, monkeypatch):
    """The log states how many devices are visible."""
    monkeypatch.setattr(devices, "_held", [])
    assert devices.acquire(2, {"0": "GPU-aa"}, tmp_path) == "cuda"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert "requested 2 GPUs, 1 visible" in capsys.readouterr().err


def test_a_job_leases_only_the_devices_that_its_work_can_use(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "_held", [])
    leased = devices.lease(3, CARDS, tmp_path, usable=lambda count: 2 if count == 3 else count)
    assert leased == devices.Lease("cuda", ["0", "1"]) and os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "cannot be divided among 3 GPUs: using 2" in capsys.readouterr().err


@pytest.mark.parametrize(("inherited", "names"), [(None, ["0", "1", "2"]), ("2,1", ["2", "1"]), ("", [])])
def test_pretended_devices_are_leased_but_the_cpu_computes(tmp_path, monkeypatch, inherited, names):
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setenv(devices.PRETENDED, "3")
    if inherited is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert list(devices.visible_devices()) == names
    assert devices.lease(3, folder=tmp_path) == devices.Lease("cpu", names)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Program nvidia-smi on PATH that lists three cards in the format of the real program."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    lines = "".join(f"{index}, {uuid}\\n" for index, uuid in CARDS.items())
    program.write_text(f'#!/bin/sh\n[ "$*" = "--query-gpu=index,uuid --format=csv,noheader" ] && printf "{lines}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_all_devices_that_nvidia_smi_lists_are_visible(nvidia_smi):
    assert devices.visible_devices() == CARDS


@pytest.mark.parametrize(
    ("inherited", "expected"),
    [
        ("2,0", {"2": "GPU-cc", "0": "GPU-aa"}),
        ("GPU-bb", {"GPU-bb": "GPU-bb"}),
        ("GPU-b", {"GPU-b": "GPU-bb"}),
        ("MIG-x", {"MIG-x": "MIG-x"}),
        ("", {}),
        ("-1", {}),
    ],
)
def test_only_devices_in_cuda_visible_devices_are_visible(nvidia_smi, monkeypatch, inherited, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert devices.visible_devices() == expected


def test_a_gpu_that_torch_cannot_use_is_reported(root):
    """The stage ends with a one-line error message (no traceback)."""
    code = (
        "from workflow_scripts.timecat.runtime import command, torch_settings\n"
        "command.run(lambda: torch_settings.configure(1, 'cuda'))\n"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: a GPU is visible, but torch")
    assert "--resources gpu=0" in done.stderr and "Traceback" not in done.stderr
