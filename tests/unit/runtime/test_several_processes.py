"""Test jobs of several processes: they compute the weights of one process, and they end together."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.pretraining.test_training import RECIPE, ROWS, TRANSFORM, beton  # noqa: F401
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.pretraining import batch_shares, batches, shared_batch_norm
from workflow_scripts.timecat.runtime.world import ALONE, World

# Name -> changes of the recipe. The name says how parts or batch norm fit two processes. A batch has 32 images.
CASES = {
    "a process has one part": {"accumulation": 2},
    "a process has two parts": {"accumulation": 4},
    "batch norm over both processes": {},
    "ghost batches": {"ghost_batch": 8},
    "a part in two ghost batches": {"ghost_batch": 8, "accumulation": 2},
    "a ghost batch is a process's images": {"ghost_batch": 16},
    "compiled": {"compile": True, "ghost_batch": 8, "accumulation": 4},
    "a ghost batch is of both processes": {"ghost_batch": 32},
}
OF_FOUR = {"two processes have one part": {"accumulation": 2}, "ghost batches of two processes": {"ghost_batch": 16}}
SETTINGS = dict(vars(RECIPE))


def run_processes(size: int, cases: dict, path, beton, root) -> dict:  # noqa: F811
    cases = json.dumps({name: SETTINGS | case for name, case in cases.items()})
    command = [
        sys.executable,
        "-m",
        "tests.support.several_processes",
        str(size),
        str(path),
        cases,
        str(beton),
        str(ROWS),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return torch.load(path)


def assert_same(one: dict, several: dict) -> None:
    """Check that weights are equal up to rounding of float64 sums. (Batch norm over other images differs by 1e-2.)"""
    assert one.keys() == several.keys()
    for name, (alone, shared) in {name: (one[name], several[name]) for name in one}.items():
        np.testing.assert_allclose(alone["losses"], shared["losses"], rtol=1e-10, err_msg=name)
        for what in ("parameters", "averaged"):
            for key, value in alone[what].items():
                torch.testing.assert_close(shared[what][key], value, rtol=1e-6, atol=1e-9, msg=f"{name}: {what} {key}")


def test_two_processes_train_the_weights_of_one_process(beton, root, tmp_path):  # noqa: F811
    one = run_processes(1, CASES | OF_FOUR, tmp_path / "one", beton, root)
    two = run_processes(2, CASES, tmp_path / "two", beton, root)
    assert_same({name: one[name] for name in CASES}, two)
    four = run_processes(4, OF_FOUR, tmp_path / "four", beton, root)
    assert_same({name: one[name] for name in OF_FOUR}, four)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_concatenated_shares_of_a_step_are_its_batch(beton, size):  # noqa: F811
    """The steps begin within an epoch and continue after its end, where remaining rows are left out."""
    whole = list(batches.batch_stream(batches.Source(beton, ROWS), RECIPE, TRANSFORM, 2, range(3, 7)))
    shares = [
        list(batches.batch_stream(batches.Source(beton, ROWS), RECIPE, TRANSFORM, 2, range(3, 7), World(rank, size)))
        for rank in range(size)
    ]
    assert len(whole) == 4 and {len(share) for share in shares} == {4}
    for step, (images, labels) in enumerate(whole):
        assert torch.equal(torch.cat([share[step][0] for share in shares]), images)
        assert torch.equal(torch.cat([share[step][1] for share in shares]), labels)


def test_every_part_of_a_batch_has_a_different_number():
    """Dropout masks depend on the part's number, so that several processes draw the same masks as one process."""
    for accumulation, size in itertools.product((1, 2, 4, 8), (1, 2, 4)):
        if accumulation < size:
            continue
        settings = replace(RECIPE, accumulation=accumulation)
        shares = [batch_shares.share_of(settings, World(rank, size)) for rank in range(size)]
        numbers = [share.first_part + part for share in shares for part in range(share.images // share.part)]
        assert numbers == list(range(accumulation))


@pytest.mark.parametrize(
    ("changes", "available", "used"),
    [
        ({}, 3, 2),  # 32 is not divisible by three
        ({}, 8, 8),
        ({"accumulation": 4}, 3, 2),
        ({"ghost_batch": 8}, 4, 4),
        ({"compile": True}, 4, 1),  # batch norm would have to span all four processes
        ({"compile": True, "ghost_batch": 8}, 4, 4),
        ({"batch_size": 1024, "accumulation": 4, "ghost_batch": 128}, 8, 8),  # config/paper.yaml
        ({"batch_size": 1024, "accumulation": 4, "ghost_batch": 128}, 7, 4),
        ({"batch_size": 24, "accumulation": 2}, 3, 2),  # parts of 12 images and 8 images per process do not fit
        ({"batch_size": 24, "accumulation": 2, "ghost_batch": 4}, 6, 6),
    ],
)
def test_the_number_of_processes_that_can_share_a_batch(changes, available, used):
    assert batch_shares.usable_processes(replace(RECIPE, **changes), available) == used


@pytest.mark.parametrize(
    ("changes", "size", "advised"),
    [
        ({"batch_size": 1024, "accumulation": 4, "ghost_batch": 128}, 1, 8),
        (
            {"batch_size": 1024, "accumulation": 4, "ghost_batch": 64},
            8,
            16,
        ),  # 8 processes have 8 parts already
        ({"batch_size": 1024, "accumulation": 4, "ghost_batch": 128}, 8, None),
    ],
)
def test_advice_on_memory_makes_the_parts_smaller(changes, size, advised):
    assert batch_shares.next_accumulation(replace(RECIPE, **changes), size) == advised


def test_a_batch_norm_with_an_activation_cannot_be_shared():
    """A shared batch norm would omit the activation that, for example, timm's batch norm includes."""

    class WithActivation(torch.nn.BatchNorm2d):
        def forward(self, x):
            return torch.relu(super().forward(x))

    model = torch.nn.Sequential(torch.nn.BatchNorm2d(4), WithActivation(4))
    with pytest.raises(UserError, match="limits.pretrain_gpus: the statistics of a WithActivation .* over 2 GPUs"):
        shared_batch_norm.share_batch_norm(model, 2, 0, 2)


def test_a_single_process_has_all_images_of_the_batch():
    assert batch_shares.share_of(RECIPE, ALONE) == batch_shares.Share(32, 32, 1, 0)
    assert batch_shares.share_of(replace(RECIPE, accumulation=4), ALONE) == batch_shares.Share(32, 8, 1, 0)


# --- one of the processes ends ---

JOB = """
import os, sys, time
from workflow_scripts.timecat.runtime import command, world

def work(processes):
    if not os.environ.get("APART"):
        processes.connect()
    sys.stderr.write(f"process {processes.rank} {os.getpid()}\\n")  # in one piece
    if not os.environ.get("APART"):
        processes.wait_for_all()
    WORK
    processes.disconnect()

def main():
    if world.follows():
        return work(world.follow())
    with world.lead("job", "cpu", 2) as leader:
        work(leader)

command.run(main)
"""
WAIT = "time.sleep(3600)"


@pytest.fixture
def start(root, tmp_path):
    """Function that starts a job of two processes and, once both run, returns (job, {rank: process id})."""
    jobs, followers = [], []

    def start_job(work: str, **variables):
        (tmp_path / "job.py").write_text(JOB.replace("WORK", work))
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"} | variables
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        jobs.append(subprocess.Popen([sys.executable, "-m", "job"], cwd=tmp_path, env=environment, **pipes))
        found = {}
        while len(found) < 2:
            line = jobs[-1].stderr.readline()
            assert line, "the job ended early"
            if line.startswith("process "):
                found[int(line.split()[1])] = int(line.split()[2])
        followers.append(os.pidfd_open(found[1]))
        return jobs[-1], found

    yield start_job
    for follower in followers:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(follower, signal.SIGKILL)
        os.close(follower)
    for job in jobs:
        job.kill()
        job.communicate()


def has_ended(number: int, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if open(f"/proc/{number}/stat").read().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_no_process_outlives_a_killed_leader(start):
    """The other process has not connected to the leader yet, so it cannot notice a lost connection."""
    job, numbers = start(WAIT, APART="1")
    job.send_signal(signal.SIGKILL)
    assert has_ended(numbers[1])


def test_only_the_leader_handles_signals(start):
    job, numbers = start(WAIT)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(numbers[1], number)
    assert not has_ended(numbers[1], 1)


@pytest.mark.parametrize(
    "work",
    [
        "processes.wait_for_all() if processes.leads else sys.exit(3)",  # the leader waits in a sum meanwhile
        "time.sleep(3600) if processes.leads else sys.exit(3)",  # the leader does not wait for it
    ],
)
def test_a_process_that_fails_ends_the_job(start, work, tmp_path):
    """The leader reports it with a one-line error message (no traceback)."""
    (tmp_path / "temporary").mkdir()
    job, _ = start(work, TMPDIR=str(tmp_path / "temporary"))
    _, said = job.communicate(timeout=60)
    assert job.returncode == 1
    assert "error: another process of this job ended with status 3: fix the error above" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "temporary").iterdir())


def test_a_leader_that_fails_ends_the_others(start):
    job, numbers = start("sys.exit(4) if processes.leads else processes.wait_for_all()")
    assert job.wait(timeout=60) == 4 and has_ended(numbers[1])
