"""GPUs are leased, not assumed: Snakemake's ``gpu`` is only a counter, so concurrent jobs would all use cuda:0.

A lease is an exclusive flock on one file per device, held until the process ends (the kernel drops it on any death,
SIGKILL included). It is taken before torch starts CUDA and confines the process through CUDA_VISIBLE_DEVICES. Inside a
Slurm job only processes of that job lease from one another: the scheduler has seen to the rest, and may let jobs share.
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

# The number of devices to pretend, for tests on machines without any: everything here is as with GPUs, but what is computed
# "on" them is computed on the CPU.
PRETENDED = "TIMECAT_PRETENDED_DEVICES"

_held: list[TextIOWrapper] = []  # open lock files: closing one would give its device back


@dataclass(frozen=True)
class Lease:
    """What this process may compute on. kind: its torch device, "cuda" or "cpu". devices: names of the leased GPUs."""

    kind: str
    devices: list[str] = field(default_factory=list)


def visible_devices() -> dict[str, str]:
    """The GPUs that this process may use: their names for CUDA_VISIBLE_DEVICES, and what identifies each on this machine.

    Those that CUDA_VISIBLE_DEVICES names where it is set, else all that nvidia-smi lists. An index may mean different
    cards to different processes and a card has several names, so the identity is the card's UUID where it is known.
    """
    listed = _listed_devices()
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if inherited is None:
        return listed
    names = [name.strip() for name in inherited.split(",")]
    return {name: _identity(name, listed) for name in names if name not in ("", "-1", "NoDevFiles")}


def _listed_devices() -> dict[str, str]:
    """Index -> UUID of every GPU that nvidia-smi lists; empty where there is none."""
    if PRETENDED in os.environ:
        count, _, machine = os.environ[PRETENDED].partition(
            ":"
        )  # "2", or "2:NAME" for devices that no other name shares
        return {str(index): f"pretended-{machine}{index}" for index in range(int(count))}
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split(", ") for line in listing.splitlines())


def _identity(name: str, listed: dict[str, str]) -> str:
    by_prefix = [uuid for uuid in listed.values() if uuid.startswith(name)]  # CUDA accepts the beginning of a UUID
    return listed.get(name) or (by_prefix[0] if by_prefix else name)


def acquire(
    requested: int, devices: dict[str, str] | None = None, folder: PathLike | None = None, poll_seconds: float = 1.0
) -> str:
    """Confine this process to ``requested`` GPUs, as ``lease`` does, and return its torch device, "cuda" or "cpu"."""
    return lease(requested, devices, folder, poll_seconds).kind


def lease(
    requested: int,
    devices: dict[str, str] | None = None,
    folder: PathLike | None = None,
    poll_seconds: float = 1.0,
    usable: Callable[[int], int] = lambda count: count,
) -> Lease:
    """Confine this process to ``requested`` GPUs.

    requested: the rule's ``{resources.gpu}``, as clamped by the command line; 0 hides every GPU. devices, folder: stand
    in for visible_devices() and the folder of locks in tests. usable: how many of a number of GPUs the work can be
    divided among. With fewer devices than requested the job uses those there are, with none it computes on the CPU, and
    says so once; for devices that exist but are taken it waits.
    """
    if requested > 0 and devices is None:
        devices = visible_devices()
    if requested <= 0 or not devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        log("computing on the CPU: " + ("no GPU was asked for (gpu=0)" if requested <= 0 else "no GPU is visible"))
        return Lease("cpu")
    count = min(requested, len(devices))
    if count < requested:
        log(f"asked for {requested} GPUs, {len(devices)} visible: using {count}")
    if (divisible := usable(count)) < count:
        log(f"this job cannot be divided among {count} GPUs: using {divisible}")
    chosen = _lease(divisible, devices, _lock_folder(folder), poll_seconds)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    pretended = any(devices[name].startswith("pretended-") for name in chosen)
    log(f"computing on {'pretended ' if pretended else ''}GPU {', '.join(chosen)}")
    return Lease("cpu" if pretended else "cuda", chosen)


def _lock_folder(folder: PathLike | None) -> Path:
    # Not the folder that TMPDIR names: schedulers give each job its own, and all must meet here.
    folder = Path(folder or f"/tmp/timecat-gpu-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _lease(count: int, devices: dict[str, str], folder: Path, poll_seconds: float) -> list[str]:
    """Take all ``count`` devices or none (so that two jobs that want two each cannot wait for one another)."""
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
