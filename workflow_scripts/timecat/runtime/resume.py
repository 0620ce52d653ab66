"""What survives an interruption in the middle of a pretraining job: the resume file and the training log so far.

Snakemake deletes declared outputs before a job runs, so both are files that it does not know of, beside the outputs:
``.<name>.resume.pt`` and ``.<name>.partial``. The resume file carries a fingerprint of params and code and is ignored
where they differ; both are removed on success.
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

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # what schedulers and Ctrl-C send


class TrainingLog:
    """A JSON-lines file that grows beside its final name and takes it when it is complete."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.partial, "ab")

    def keep(self, size: int) -> bool:
        """Keep the first ``size`` bytes of an interrupted job's lines; False if there are not that many."""
        if self.partial.stat().st_size < size:
            return False
        self.file.truncate(size)
        self.file.seek(0, os.SEEK_END)
        return True

    def position(self) -> int:
        """Bytes that are safely in the file."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def add(self, **values: object) -> None:
        """Append a line."""
        self.file.write((json.dumps(values) + "\n").encode())

    def finish(self) -> None:
        """Move the file to its final name."""
        self.position()
        self.file.close()
        os.replace(self.partial, self.path)


class ResumeFile:
    """Saves a job's state every ``seconds``, and at once when the process is asked to end.

    From the making of this object to ``stop_watching``, SIGTERM and SIGINT end the process after the step that is under
    way; a second one ends it at once.
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
        """Let signals do what they did before."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def read(self) -> bytes | None:
        """What was saved, or None."""
        return self.path.read_bytes() if self.path.exists() else None

    def offer(self, make_bytes: Callable[[], bytes], step: int, due: bool = False) -> None:
        """Save ``make_bytes()`` if it is time to (or ``due``); end the process if it was asked to."""
        if due or self.asked_to_end or time.monotonic() - self.saved_at >= self.seconds:
            write_bytes(self.path, make_bytes())
            self.saved_at = time.monotonic()
        if self.asked_to_end:
            log(f"stopped by signal {self.asked_to_end} after step {step}; the next run continues from here")
            sys.exit(128 + self.asked_to_end)

    def remove(self) -> None:
        """Remove the file: the job is complete."""
        self.path.unlink(missing_ok=True)
