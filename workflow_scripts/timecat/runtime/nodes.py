"""The nodes of one Slurm job that share its work: who starts the processes on the others, and where all of them meet.

The process that Snakemake started leads, on its own node. Within its allocation it starts one process on each other node with
srun, which is there what the leader is here: it takes the node's GPUs and starts a process for each (world.py). All meet at
an address of the leader's node, which Slurm's variables name. A node's process ends when the leader ends, however that ends:
its standard input, which srun connects with the leader, is then at its end.
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
_visible = os.environ.get(DEVICES)  # before this process has confined itself to some of them


@dataclass(frozen=True)
class Node:
    """One node of a job. index: 0 is the leader's; total: nodes; count: processes of each; meeting_point: host:port."""

    index: int
    total: int
    count: int
    meeting_point: str


def first(total: int, count: int) -> Node:
    """The leader's node, of ``total`` with ``count`` processes each. UserError outside of a Slurm job."""
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise UserError(
            f"limits.pretrain_nodes is {total}, and this is no Slurm job with srun on PATH: run with --profile "
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
    """Whether this process was started on another node by a leader."""
    return TOTAL in os.environ


def join() -> Node:
    """The node of a process that a leader started: it ends when the leader ends, and leaves signals to it."""
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
    """From the leader: run ``module`` with this command line on every other node; one srun stands for all of them."""
    others = node.total - 1
    words = ["srun", "--overlap", f"--ntasks={others}", "--ntasks-per-node=1", f"--nodes={others}"]
    words += ["--cpu-bind=none", "--kill-on-bad-exit=1", "--mem=0"]
    if _nodes_of_the_job() == 1:  # tasks of one node, which share it
        words[3:5] = ["--nodes=1"]
    else:
        words.append(f"--exclude={os.environ.get('SLURMD_NODENAME') or socket.gethostname()}")
    told = {TOTAL: node.total, COUNT: node.count, MEETING_POINT: node.meeting_point}
    # The variables of the step that the leader is in would be taken for options of this one.
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
