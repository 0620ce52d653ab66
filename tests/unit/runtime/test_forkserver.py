"""Test that a fork of the forkserver runs a stage with the command line, streams and status of its process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.studies import ROOT
from workflow_scripts.timecat.runtime.forkserver.client import ADDRESS, PYTHON

STARTER = """
import os, sys
from workflow_scripts.timecat.runtime.forkserver import client, server
server.start()
print(os.environ[client.ADDRESS], server._running.pid, flush=True)
sys.stdin.read()
"""

STAGE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.errors import UserError

loaded = "torch" in sys.modules
said = os.environ.get("SAID")

def stop(number, frame):
    Path("stopped").write_text(str(number))
    sys.exit(5)

def main():
    doing, *rest = sys.argv[1:]
    if doing == "tell":
        made = Path("made")
        made.touch()
        facts = {
            "loaded": loaded, "rest": rest, "said": said, "folder": os.getcwd(), "input": sys.stdin.read(),
            "mode": made.stat().st_mode & 0o777, "prog": Path(sys.argv[0]).name, "forks": "TIMECAT_FORKSERVER" in os.environ,
        }
        print(json.dumps(facts), flush=True)
        print("to the log", file=sys.stderr)
    elif doing == "exit":
        sys.exit(int(rest[0]))
    elif doing == "mistake":
        raise UserError("config.yaml: probe.lr is too high: lower it")
    elif doing == "fail":
        raise KeyError("a mistake of ours")
    elif doing == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif doing == "wait":
        signal.signal(signal.SIGTERM, stop)
        Path("pid").write_text(str(os.getpid()))
        os.rename("pid", "waits")
        time.sleep(600)

    elif doing == "spawn":
        child = subprocess.Popen(["sleep", "600"])
        Path("pid").write_text(str(child.pid))
        os.rename("pid", "waits")
        child.wait()

command.run(main)
os._exit(0)
"""


def heed_interrupts() -> None:
    """Handle SIGINT as in a terminal, since background processes of a shell and their children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def started():
    """Start a server, and yield (its address, its process id). The server's parent process ends with the block."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    address, pid = starter.stdout.readline().split()
    try:
        yield address, int(pid)
    finally:
        starter.communicate()


@pytest.fixture(scope="module")
def address():
    """Address of a running server, shared by the tests of this file."""
    with started() as (address, _):
        yield address


@pytest.fixture
def stage(tmp_path):
    """Function that starts the stage STAGE in the test's folder."""
    (tmp_path / "stage.py").write_text(STAGE)

    def start(*arguments: str, server: str | None, **variables: str) -> subprocess.Popen:
        told = {ADDRESS: server, PYTHON: sys.prefix} if server else {}
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | told | variables
        return subprocess.Popen(
            [sys.executable, "-m", "stage", *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=0o027,
            preexec_fn=heed_interrupts,
        )

    return start


def wait_for(condition, what: str) -> None:
    """Wait until ``condition()`` is true. Fail with the message ``what`` after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Return whether a process runs (False for a zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # ProcessLookupError if it ends while the file is read
        return False


def test_a_fork_has_the_environment_and_streams_of_its_process(stage, address):
    def told(server):
        """Run the stage with the server's address (or None), and return what it prints about its process."""
        process = stage("tell", "a b", "--c", server=server, SAID="something")
        output, log = process.communicate("typed", timeout=120)
        assert process.returncode == 0 and log == "to the log\n", log
        return json.loads(output)

    alone, fork = told(None), told(address)
    assert not alone.pop("loaded") and fork.pop("loaded")
    assert alone == fork
    assert fork["mode"] == 0o640 and not fork["forks"] and fork["rest"] == ["a b", "--c"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["exit", "0"], 0, ""),
        (["exit", "3"], 3, ""),
        (["mistake"], 1, "error: config.yaml: probe.lr is too high: lower it\n"),
        (["fail"], 1, "KeyError: 'a mistake of ours'\n"),
        (["die"], -signal.SIGKILL, ""),
    ],
)
def test_a_fork_ends_with_the_status_and_output_of_its_process(stage, address, arguments, status, words):
    for server in (None, address):
        process = stage(*arguments, server=server)
        _, log = process.communicate(timeout=120)
        assert (process.returncode, log.endswith(words)) == (status, True), log
        assert words or not log


def waiting(stage, tmp_path, server) -> tuple[subprocess.Popen, int]:
    """Start a stage that waits, and return (its process, process id of its fork)."""
    process = stage("wait", server=server)
    wait_for((tmp_path / "waits").exists, "the stage never began")
    fork = int((tmp_path / "waits").read_text())
    assert fork != process.pid
    return process, fork


def test_a_signal_to_the_process_reaches_its_fork(stage, address, tmp_path):
    process, _ = waiting(stage, tmp_path, address)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 5
    assert (tmp_path / "stopped").read_text() == str(int(signal.SIGTERM))


def test_killing_a_process_kills_its_fork(stage, address, tmp_path):
    process, fork = waiting(stage, tmp_path, address)
    process.kill()
    wait_for(lambda: not lives(fork), "the fork lives on")


def test_the_server_survives_a_killed_process_and_fork(stage, address, tmp_path):
    """Both are killed before the server notices either of them."""
    process, fork = waiting(stage, tmp_path, address)
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(fork, signal.SIGKILL)
    process.kill()
    wait_for(lambda: not lives(fork), "the fork lives on")
    assert stage("exit", "3", server=address).wait(timeout=60) == 3
    told = stage("tell", server=address)
    assert json.loads(told.communicate("", timeout=60)[0])["loaded"], "the server has ended"


def test_a_ctrl_c_reaches_child_processes_of_the_stage(stage, address, tmp_path):
    process = stage("spawn", server=address)
    wait_for((tmp_path / "waits").exists, "the stage never began")
    child = int((tmp_path / "waits").read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    wait_for(lambda: not lives(child), "its child process lives on")


def test_the_server_ends_after_its_starter_and_the_last_fork(stage, tmp_path):
    with started() as (address, server):
        process, fork = waiting(stage, tmp_path, address)
    assert lives(fork) and lives(server)  # a job whose Snakemake was killed continues
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 5
    wait_for(lambda: not lives(server), "the server lives on")
    wait_for(lambda: not Path(address).parent.exists(), "its folder is left behind")


def test_killing_the_server_ends_its_forks(stage, tmp_path):
    """Stages that start later run without the server."""
    with started() as (address, server):
        process, fork = waiting(stage, tmp_path, address)
        os.kill(server, signal.SIGKILL)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 1 and "limits.forkserver" in log and "run again" in log
        wait_for(lambda: not lives(fork), "the fork lives on")
        alone = stage("exit", "3", server=address)
        assert alone.wait(timeout=60) == 3


@pytest.mark.parametrize("variables", [{"OMP_NUM_THREADS": "2"}, {PYTHON: "/another/python"}])
def test_a_job_with_a_different_environment_is_not_forked(stage, address, variables):
    """The job has more threads than the server, or a different Python."""
    process = stage("tell", server=address, **variables)
    output, _ = process.communicate("", timeout=60)
    assert not json.loads(output)["loaded"]
