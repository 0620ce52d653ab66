"""One process at a time writes an output, and what killed processes left of it is cleared away.

A job whose Snakemake was killed lives on and still writes; the job that is started in its place must not write beside it.
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
    """Hold the only right to write files of ``folder`` that begin with one of ``stems``; wait for whoever has it.

    The right is a lock on ``.<first stem>lock``, which the kernel drops however the process ends. When it is had,
    temporaries (files.atomic_path) that killed processes left under these stems are removed.
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
            log(f"waiting: another process still writes here, it holds {path}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # some cluster file systems are mounted without locks
            log(f"{path} cannot be locked ({error.strerror}): make sure that no other run writes here")
            return lock
        # Whoever held it before has removed the file that was locked here: it must be the one of that name now.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()
