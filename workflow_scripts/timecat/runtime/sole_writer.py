"""Lock outputs, so that one process at a time writes them, and remove the temporary files of killed processes.

A job still runs and writes after its Snakemake has been killed. A new job for the same output must not write at the
same time.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.runtime.command import log


@contextlib.contextmanager
def sole_writer(folder: PathLike, *stems: str) -> Iterator[None]:
    """Hold the lock for files in ``folder`` whose names begin with one of ``stems``. Wait while another process has it.

    The lock file is ``.<first stem>lock``. The kernel releases the lock however the process ends. When this process has
    the lock, it removes the temporary files (files.atomic_path) that killed processes left under these stems.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{stems[0]}lock"
    lock = _lock(path)
    try:
        for stem in stems:
            for left in [*folder.glob(f".{stem}*.tmp"), *folder.glob(f"..{stem}*.tmp")]:
                if left.is_file():
                    left.unlink()
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def _lock(path: Path) -> TextIOWrapper:
    while True:
        lock = open(path, "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"waiting: another process still writes this output and holds the lock {path}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # some cluster file systems are mounted without locks
            log(f"{path} cannot be locked ({error.strerror}): make sure that no other run writes in this folder")
            return lock
        # The previous holder removes the lock file. So check that the file locked here still has this name.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()
