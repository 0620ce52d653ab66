"""Lease GPUs to jobs. Snakemake's ``gpu`` is only a counter, so concurrent jobs would all use cuda:0 without leases.

A lease is an exclusive flock on one file per device. The process holds it until it ends: the kernel releases the lock
in any case, even after SIGKILL. A lease is taken before torch starts CUDA, and it confines the process to the leased
GPUs through CUDA_VISIBLE_DEVICES. Inside a Slurm job only the processes of that job compete for leases, because the
scheduler assigns devices to jobs and may let jobs share one.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.runtime.command import log

# Environment variable with a number of pretended devices, for tests on machines without GPUs. They are leased like
# GPUs, but the work of their jobs is done on the CPU.
PRETENDED = "TIMECAT_PRETENDED_DEVICES"

_held: list[TextIOWrapper] = []  # open lock files: closing one would release its device


@dataclass(frozen=True)
class Lease:
    """Devices that this process may use.

    kind: torch device, "cuda" or "cpu". devices: names of the leased GPUs in CUDA_VISIBLE_DEVICES.
    """

    kind: str
    devices: list[str] = field(default_factory=list)


def visible_devices() -> dict[str, str]:
    """Return the GPUs that this process may use, as name for CUDA_VISIBLE_DEVICES -> identity on this machine.

    If CUDA_VISIBLE_DEVICES is set, these are the GPUs that it names, else all GPUs that nvidia-smi lists. An index may
    mean different cards in different processes, and a card has several names, so the identity is the card's UUID if
    nvidia-smi tells it, else the name.
    """
    listed = _listed_devices()
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if inherited is None:
        return listed
    names = [name.strip() for name in inherited.split(",")]
    return {name: _identity(name, listed) for name in names if name not in ("", "-1", "NoDevFiles")}


def _listed_devices() -> dict[str, str]:
    """Return index -> UUID of every GPU that nvidia-smi lists ({} without nvidia-smi)."""
    if PRETENDED in os.environ:
        count, _, machine = os.environ[PRETENDED].partition(
            ":"
        )  # "2", or "2:NAME", where NAME tells the devices of several pretended machines apart
        return {str(index): f"pretended-{machine}{index}" for index in range(int(count))}
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split(", ") for line in listing.splitlines())


def _identity(name: str, listed: dict[str, str]) -> str:
    by_prefix = [uuid for uuid in listed.values() if uuid.startswith(name)]  # CUDA accepts a prefix of a UUID
    return listed.get(name) or (by_prefix[0] if by_prefix else name)


def acquire(
    requested: int, devices: dict[str, str] | None = None, folder: PathLike | None = None, poll_seconds: float = 1.0
) -> str:
    """Lease ``requested`` GPUs for this process (see ``lease``), and return the torch device, "cuda" or "cpu"."""
    return lease(requested, devices, folder, poll_seconds).kind


def lease(
    requested: int,
    devices: dict[str, str] | None = None,
    folder: PathLike | None = None,
    poll_seconds: float = 1.0,
    usable: Callable[[int], int] = lambda count: count,
) -> Lease:
    """Lease ``requested`` GPUs for this process, confine it to them, and return the lease.

    If other jobs hold the devices, the process waits for them. If fewer devices are visible than requested, the job
    uses all visible devices. If no device is visible, it computes on the CPU. Both cases are logged once.

    requested: the rule's ``{resources.gpu}``, as limited by the command line; 0 hides every GPU. devices, folder:
    values that tests pass instead of visible_devices() and the folder of locks. usable: function that returns, for a
    number of GPUs, the number of GPUs (at most as many) among which the work can be divided.
    """
    if requested > 0 and devices is None:
        devices = visible_devices()
    if requested <= 0 or not devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        log("computing on the CPU: " + ("no GPU was requested (gpu=0)" if requested <= 0 else "no GPU is visible"))
        return Lease("cpu")
    count = min(requested, len(devices))
    if count < requested:
        log(f"requested {requested} GPUs, {len(devices)} visible: using {count}")
    if (divisible := usable(count)) < count:
        log(f"this job cannot be divided among {count} GPUs: using {divisible}")
    chosen = _lease(divisible, devices, _lock_folder(folder), poll_seconds)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    pretended = any(devices[name].startswith("pretended-") for name in chosen)
    log(f"computing on {'pretended ' if pretended else ''}GPU {', '.join(chosen)}")
    return Lease("cpu" if pretended else "cuda", chosen)


def _lock_folder(folder: PathLike | None) -> Path:
    # Not the folder in TMPDIR: schedulers give each job another one, but all jobs must share this folder.
    folder = Path(folder or f"/tmp/timecat-gpu-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _lease(count: int, devices: dict[str, str], folder: Path, poll_seconds: float) -> list[str]:
    """Lock ``count`` of the devices, and return their names. Wait while fewer devices are free.

    The process holds no device while it waits, so two jobs that need two devices each never wait for one another.
    """
    suffix = f"-slurm{os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    waiting = False
    while True:
        taken = {}
        for name, identity in devices.items():
            file = open(folder / f"{identity.replace('/', '_')}{suffix}.lock", "w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            taken[name] = file
            if len(taken) == count:
                _held.extend(taken.values())
                return list(taken)
        for file in taken.values():
            file.close()
        if not waiting:
            log(f"waiting for {count} of the GPUs {', '.join(devices)}: other jobs hold them")
            waiting = True
        time.sleep(poll_seconds)
