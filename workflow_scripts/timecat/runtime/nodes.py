"""Share a job among several nodes of a Slurm job: start a process on each node and set the address where they connect.

The leader is the process that Snakemake started, on the first node. With srun it starts one process on each other node
of its allocation. Each started process leases the GPUs of its node and starts a process for each GPU, as the leader
does on the first node (world.py). All processes connect to an address of the leader's node, which Slurm's variables
name. When the leader ends, for whatever reason, the processes on the other nodes end, too: srun connects their standard
input with the leader, and they end when this input is closed.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass

from workflow_scripts.timecat.errors import UserError

TOTAL, COUNT, MEETING_POINT = "TIMECAT_NODES", "TIMECAT_PROCESSES_OF_A_NODE", "TIMECAT_NODES_MEETING"
DEVICES = "CUDA_VISIBLE_DEVICES"
_visible = os.environ.get(DEVICES)  # read before this process confines itself to some devices


@dataclass(frozen=True)
class Node:
    """One node of a job that runs on several nodes.

    index: number of the node, 0 for the leader's node. total: number of nodes. count: processes per node.
    meeting_point: host:port at which all processes connect.
    """

    index: int
    total: int
    count: int
    meeting_point: str


def first(total: int, count: int) -> Node:
    """Return the leader's node of a job with ``total`` nodes and ``count`` processes per node.

    Raise UserError outside of Slurm.
    """
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise UserError(
            f"limits.pretrain_nodes is {total}, but this is not a Slurm job with srun on PATH: run with --profile "
            "profiles/slurm and without containers, or set limits.pretrain_nodes to 1"
        )
    host = "127.0.0.1" if _nodes_of_the_job() == 1 else os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    return Node(0, total, count, f"{host}:{port}")


def _nodes_of_the_job() -> int:
    return int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))


def joins() -> bool:
    """Return whether a leader on another node started this process."""
    return TOTAL in os.environ


def join() -> Node:
    """Return the node of this process, and make the process ignore signals and end when the leader ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    index = 1 + int(os.environ["SLURM_PROCID"])
    return Node(index, int(os.environ[TOTAL]), int(os.environ[COUNT]), os.environ[MEETING_POINT])


def _end_with_the_leader() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def start_others(node: Node, module: str) -> subprocess.Popen[bytes]:
    """Start ``module`` with this command line on every other node, through one srun (called by the leader)."""
    others = node.total - 1
    words = ["srun", "--overlap", f"--ntasks={others}", "--ntasks-per-node=1", f"--nodes={others}"]
    words += ["--cpu-bind=none", "--kill-on-bad-exit=1", "--mem=0"]
    if _nodes_of_the_job() == 1:  # all tasks share one node
        words[3:5] = ["--nodes=1"]
    else:
        words.append(f"--exclude={os.environ.get('SLURMD_NODENAME') or socket.gethostname()}")
    told = {TOTAL: node.total, COUNT: node.count, MEETING_POINT: node.meeting_point}
    # Without this, srun would read the variables of the leader's step as options of the new step.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLURM_STEP", "SLURM_CPU"))
    }
    environment |= {name: str(value) for name, value in told.items()}
    environment.pop(DEVICES, None)
    if _visible is not None:
        environment[DEVICES] = _visible
    return subprocess.Popen(
        [*words, sys.executable, "-m", module, *sys.argv[1:]],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
