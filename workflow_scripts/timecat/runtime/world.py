"""The processes of one job, one for each of its devices, on one machine or on several nodes of a Slurm job (nodes.py).

The process that Snakemake started leads (rank 0): it has the lease, writes the outputs, and starts the others with its own
command line. They compute their share and nothing else, and do not outlive it, however it ends. Signals are the leader's
to answer: whoever waits for it in a sum or a barrier is where it must be when the leader has saved its state.
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

# What a process that was started by a leader finds in its environment; the first three as torchrun calls them.
RANK, SIZE, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"
LEADER, DEVICE, MEETING_POINT = "TIMECAT_LEADER", "TIMECAT_DEVICE", "TIMECAT_MEETING"
SECONDS_TO_SAY_WHY = 10.0  # until a process that has failed has ended, or until the leader has said why it has to end
FAILED = "another process of this job ended with status {}: mend what it says above, and run again"
PR_SET_PDEATHSIG = 1  # of prctl(2)


@dataclass(frozen=True)
class World:
    """This process among those of its job. device: its torch device, "cuda" (the current one is its own) or "cpu".
    local_rank: among those of its node. meeting_point: a file where all are of one machine, else host:port."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    meeting_point: str | None = None
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def connect(self) -> None:
        """Meet the others. After torch is set up, for it starts CUDA."""
        if self.size == 1 or self.meeting_point is None:
            return
        import torch
        import torch.distributed

        # The others wait while the leader saves its state, however slow the disk; one that fails is noticed otherwise
        # (_watch).
        patience = timedelta(days=1)
        backend = "gloo"
        if self.device == "cuda":
            torch.cuda.set_device(self.local_rank)
            backend = "cpu:gloo,cuda:nccl"
        threads_live_on(True)  # those of gloo and NCCL, until the others have been parted from
        host, _, port = self.meeting_point.rpartition(":")
        if host in ("", "127.0.0.1"):
            # The name that a laptop or a container gives itself often leads nowhere.
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
        """Part from the others, when all have come here."""
        if self.size > 1:
            import torch

            self.wait_for_all()
            torch.distributed.destroy_process_group()
            threads_live_on(False)

    def from_leader(self, value: Any = None) -> Any:
        """The leader's ``value`` (whatever can be pickled), in every process."""
        if self.size == 1:
            return value
        import torch

        values = [value if self.leads else None]
        torch.distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def mean(self, value: float) -> float:
        """The mean of every process's ``value``, the same in all."""
        if self.size == 1:
            return value
        import torch

        total = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(total)
        return total.item() / self.size

    def wait_for_all(self) -> None:
        """Return when every process has called this."""
        if self.size > 1:
            self.mean(0.0)


ALONE = World()


def follows() -> bool:
    """Whether this process was started by the leader of a job."""
    return LEADER in os.environ


def follow() -> World:
    """The world of a process that was started by a leader: it ends when the leader ends, and leaves signals to it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[LEADER]):  # it had ended before the line above
        sys.exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    rank, size, local_rank = (int(os.environ[name]) for name in (RANK, SIZE, LOCAL_RANK))
    return World(rank, size, os.environ[DEVICE], os.environ[MEETING_POINT], local_rank)


@contextlib.contextmanager
def lead(module: str, device: str, size: int, node: nodes.Node | None = None) -> Iterator[World]:
    """Yield this process's world, the leader's, of ``size`` processes that run ``module`` with its command line.

    node: of several that share the work; size is then of this node alone, and the leader of node 0 leads all.
    If another process fails, this one ends too. The others have ended when the block is left without an error.
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
        except RuntimeError as error:  # what torch raises where another process is gone
            if (status := _failure(others, SECONDS_TO_SAY_WHY)) is None:
                raise
            raise UserError(FAILED.format(status)) from error
        finally:
            leaving.set()
            for process in others:
                process.kill()  # nothing happens where it has ended
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
    """The status of a process that has failed, or that fails within some seconds; None where there is none."""
    until = time.monotonic() + seconds
    while True:
        failed = [process.returncode for process in others if process.poll()]
        if failed or time.monotonic() >= until:
            return failed[0] if failed else None
        time.sleep(0.05)


def _watch(others: list[subprocess.Popen[bytes]], leaving: threading.Event, folder: str) -> None:
    """End this process if one of the others fails: it would wait for it for ever."""
    while not leaving.wait(0.2):
        if (status := _failure(others)) is not None and not leaving.wait(SECONDS_TO_SAY_WHY):
            log(f"error: {FAILED.format(status)}")
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)
