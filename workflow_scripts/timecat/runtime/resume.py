"""Keep the state and the training log of an interrupted pretraining job, so that the next run resumes it.

Snakemake deletes declared outputs before a job runs. The state and the log are therefore files that Snakemake does not
know, beside the outputs: ``.<name>.resume.pt`` and ``.<name>.partial``. The resume file holds a fingerprint of params
and code and is ignored if these have changed. Both files are removed on success.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from workflow_scripts.timecat.artifacts.files import PathLike, write_bytes
from workflow_scripts.timecat.runtime.command import log

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # sent by schedulers and Ctrl-C


class TrainingLog:
    """Training log of a job: a JSON-lines file that has a temporary name until it is complete."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.partial, "ab")

    def keep(self, size: int) -> bool:
        """Truncate an interrupted job's log to ``size`` bytes. Return False, without a change, if it is shorter."""
        if self.partial.stat().st_size < size:
            return False
        self.file.truncate(size)
        self.file.seek(0, os.SEEK_END)
        return True

    def position(self) -> int:
        """Flush and fsync the log, and return its size in bytes."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def add(self, **values: object) -> None:
        """Append ``values`` to the log, as one line of JSON."""
        self.file.write((json.dumps(values) + "\n").encode())

    def finish(self) -> None:
        """Move the log to its final name."""
        self.position()
        self.file.close()
        os.replace(self.partial, self.path)


class ResumeFile:
    """File that holds a job's state. It is saved every ``seconds`` and when a signal asks the process to end.

    From the creation of this object until ``stop_watching``, SIGTERM and SIGINT end the process after the current step.
    A second signal ends it immediately.
    """

    def __init__(self, output: PathLike, seconds: float) -> None:
        output = Path(output)
        self.path = output.with_name(f".{output.name}.resume.pt")
        self.seconds, self.saved_at = seconds, time.monotonic()
        self.asked_to_end: int | None = None
        self.handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_end = number
        self.stop_watching()

    def stop_watching(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def read(self) -> bytes | None:
        """Return the saved state, or None if there is none."""
        return self.path.read_bytes() if self.path.exists() else None

    def offer(self, make_bytes: Callable[[], bytes], step: int, due: bool = False) -> None:
        """Save ``make_bytes()`` if ``due`` or the interval has passed. After a signal, save it and end the process.

        step: number of the last completed step, for the log line.
        """
        if due or self.asked_to_end or time.monotonic() - self.saved_at >= self.seconds:
            write_bytes(self.path, make_bytes())
            self.saved_at = time.monotonic()
        if self.asked_to_end:
            log(f"stopped by signal {self.asked_to_end} after step {step}; the next run continues from this step")
            sys.exit(128 + self.asked_to_end)

    def remove(self) -> None:
        """Remove the resume file, because the job is complete."""
        self.path.unlink(missing_ok=True)
