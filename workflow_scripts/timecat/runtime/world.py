"""Run one job in several processes, one per device, on one machine or on several nodes of a Slurm job (nodes.py).

The leader (rank 0) is the process that Snakemake started. It holds the lease of the devices, writes the outputs, and
starts the other processes with its command line. The other processes only compute their share, and they end when the
leader ends, for whatever reason. Only the leader handles signals: the other processes wait in a sum or a barrier while
the leader saves its state.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import nodes
from workflow_scripts.timecat.runtime.command import log, threads_live_on

# Environment variables that the leader sets for the other processes. The first three have the names that torchrun uses.
RANK, SIZE, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"
LEADER, DEVICE, MEETING_POINT = "TIMECAT_LEADER", "TIMECAT_DEVICE", "TIMECAT_MEETING"
SECONDS_TO_SAY_WHY = 10.0  # time to wait for a failed process to end, or for the leader to report the error
FAILED = "another process of this job ended with status {}: fix the error above and run again"
PR_SET_PDEATHSIG = 1  # option of prctl(2)


@dataclass(frozen=True)
class World:
    """Rank of this process, number of processes of its job, device, and the point where the processes connect.

    device: torch device of this process, "cpu" or "cuda" (the current CUDA device). local_rank: rank among the
    processes of the same node. meeting_point: path of a file if all processes run on one machine, else host:port.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    meeting_point: str | None = None
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process is the leader, which writes the outputs."""
        return self.rank == 0

    def connect(self) -> None:
        """Connect to the other processes. Call this after torch is configured, because it starts CUDA."""
        if self.size == 1 or self.meeting_point is None:
            return
        import torch
        import torch.distributed

        # The other processes wait while the leader saves its state, which takes long on a slow disk. _watch, not this
        # timeout, notices a process that fails.
        patience = timedelta(days=1)
        backend = "gloo"
        if self.device == "cuda":
            torch.cuda.set_device(self.local_rank)
            backend = "cpu:gloo,cuda:nccl"
        threads_live_on(True)  # the threads of gloo and NCCL, until disconnect()
        host, _, port = self.meeting_point.rpartition(":")
        if host in ("", "127.0.0.1"):
            # The host name of a laptop or a container often cannot be resolved.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        store: torch.distributed.Store
        if host:
            store = torch.distributed.TCPStore(host, int(port), self.size, self.leads, timeout=patience)
        else:
            store = torch.distributed.FileStore(self.meeting_point, self.size)
        torch.distributed.init_process_group(
            backend, store=store, rank=self.rank, world_size=self.size, timeout=patience
        )

    def disconnect(self) -> None:
        """Wait for the other processes, then leave the group."""
        if self.size > 1:
            import torch

            self.wait_for_all()
            torch.distributed.destroy_process_group()
            threads_live_on(False)

    def from_leader(self, value: Any = None) -> Any:
        """Return the leader's ``value`` (any object that can be pickled) in every process."""
        if self.size == 1:
            return value
        import torch

        values = [value if self.leads else None]
        torch.distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def mean(self, value: float) -> float:
        """Return the mean of ``value`` over all processes. Every process gets the same result."""
        if self.size == 1:
            return value
        import torch

        total = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(total)
        return total.item() / self.size

    def wait_for_all(self) -> None:
        """Wait until every process of the job has called this method."""
        if self.size > 1:
            self.mean(0.0)


ALONE = World()


def follows() -> bool:
    """Return whether the leader of a job started this process."""
    return LEADER in os.environ


def follow() -> World:
    """Return the World of this process, which a leader started, and make the process end when the leader ends.

    From now on, the process ignores SIGTERM and SIGINT, which the leader handles.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[LEADER]):  # the leader had ended before the line above
        sys.exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    rank, size, local_rank = (int(os.environ[name]) for name in (RANK, SIZE, LOCAL_RANK))
    return World(rank, size, os.environ[DEVICE], os.environ[MEETING_POINT], local_rank)


@contextlib.contextmanager
def lead(module: str, device: str, size: int, node: nodes.Node | None = None) -> Iterator[World]:
    """Start the other processes of a job, which run ``module`` with this command line, and yield this process's World.

    If another process fails, this process ends, too. When the block ends without an error, the other processes have
    ended.

    size: number of processes (on this node, if several nodes share the work). node: this node if several nodes share
    the work, else None; the first process of node 0 is then the leader of all processes.
    """
    if size <= 1 and node is None:
        yield World(device=device)
        return
    with tempfile.TemporaryDirectory(prefix="timecat-") as folder:
        size = max(1, size)
        if node is None:
            world = World(0, size, device, str(Path(folder) / "meeting"))
        else:
            world = World(node.index * node.count, node.total * node.count, device, node.meeting_point)
        others = [_start(module, world, local_rank) for local_rank in range(1, size)]
        if node is not None and node.index == 0:
            others.append(nodes.start_others(node, module))
        leaving = threading.Event()
        threading.Thread(target=_watch, args=(others, leaving, folder), daemon=True).start()
        try:
            if world.leads:
                where = f" of {node.total} nodes" if node else ""
                log(f"{world.size} processes share the work, one for each device{where}")
            yield world
            for process in others:
                process.wait()
        except RuntimeError as error:  # torch raises it if another process is gone
            if (status := _failure(others, SECONDS_TO_SAY_WHY)) is None:
                raise
            raise UserError(FAILED.format(status)) from error
        finally:
            leaving.set()
            for process in others:
                process.kill()  # no effect on a process that has ended
                process.wait()


def _start(module: str, world: World, local_rank: int) -> subprocess.Popen[bytes]:
    told: dict[str, object] = {
        RANK: world.rank + local_rank,
        SIZE: world.size,
        LOCAL_RANK: local_rank,
        LEADER: os.getpid(),
    }
    told |= {DEVICE: world.device, MEETING_POINT: world.meeting_point}
    environment = os.environ | {name: str(value) for name, value in told.items()}
    return subprocess.Popen([sys.executable, "-m", module, *sys.argv[1:]], env=environment, stdout=subprocess.DEVNULL)


def _failure(others: list[subprocess.Popen[bytes]], seconds: float = 0.0) -> int | None:
    """Return the exit status of a process that has failed or fails within ``seconds``, or None if none fails."""
    until = time.monotonic() + seconds
    while True:
        failed = [process.returncode for process in others if process.poll()]
        if failed or time.monotonic() >= until:
            return failed[0] if failed else None
        time.sleep(0.05)


def _watch(others: list[subprocess.Popen[bytes]], leaving: threading.Event, folder: str) -> None:
    """End this process if another process fails, since this process would wait for it forever."""
    while not leaving.wait(0.2):
        if (status := _failure(others)) is not None and not leaving.wait(SECONDS_TO_SAY_WHY):
            log(f"error: {FAILED.format(status)}")
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)
