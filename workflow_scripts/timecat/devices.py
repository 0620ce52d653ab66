"""GPUs are leased, not assumed: Snakemake's ``gpu`` is only a counter, so concurrent jobs would all use cuda:0.

A lease is an exclusive flock on one file per device, held until the process ends (the kernel drops it on any death,
SIGKILL included). It is taken before torch starts CUDA and confines the process through CUDA_VISIBLE_DEVICES. Inside a
Slurm allocation the scheduler has already confined the job, and nothing is leased.
"""

import fcntl
import getpass
import os
import subprocess
import tempfile
import time
from pathlib import Path

from workflow_scripts.timecat.command import log

_held = []  # open lock files: closing one would give its device back


def visible_devices() -> list[str]:
    """Identifiers of the GPUs this process may use: CUDA_VISIBLE_DEVICES where it is set, else what nvidia-smi lists."""
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if inherited is not None:
        return [device.strip() for device in inherited.split(",") if device.strip() not in ("", "-1", "NoDevFiles")]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return listing.stdout.split()


def acquire(requested: int, devices: list[str] | None = None, lock_folder=None, poll_seconds: float = 1.0) -> str:
    """Confine this process to ``requested`` GPUs and return its torch device, ``"cuda"`` or ``"cpu"``.

    requested: the rule's ``{resources.gpu}``, as clamped by the command line; 0 hides every GPU. devices: stands in for
    visible_devices() in tests. With fewer devices than requested the job uses those there are, with none it computes
    on the CPU, and says so once; for devices that exist but are taken it waits.
    """
    devices = visible_devices() if devices is None else devices
    if requested <= 0 or not devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        log("computing on the CPU: " + ("no GPU was asked for (gpu=0)" if requested <= 0 else "no GPU is visible"))
        return "cpu"
    if requested > len(devices):
        log(f"asked for {requested} GPUs, {len(devices)} visible: using {len(devices)}")
        requested = len(devices)
    if "SLURM_JOB_ID" in os.environ:
        chosen = devices[:requested]
    else:
        chosen = _lease(requested, devices, _lock_folder(lock_folder), poll_seconds)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    log(f"computing on GPU {', '.join(chosen)}")
    return "cuda"


def _lock_folder(folder) -> Path:
    folder = Path(folder or Path(tempfile.gettempdir()) / f"timecat-gpu-{getpass.getuser()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _lease(count: int, devices: list[str], folder: Path, poll_seconds: float) -> list[str]:
    """Take all ``count`` devices or none (so that two jobs that want two each cannot wait for one another)."""
    waiting = False
    while True:
        taken = {}
        for device in devices:
            file = open(folder / f"{device.replace('/', '_')}.lock", "w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            taken[device] = file
            if len(taken) == count:
                _held.extend(taken.values())
                return list(taken)
        for file in taken.values():
            file.close()
        if not waiting:
            log(f"waiting for {count} of the GPUs {', '.join(devices)}: other jobs hold them")
            waiting = True
        time.sleep(poll_seconds)
