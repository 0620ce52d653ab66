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
from pathlib import Path

from workflow_scripts.timecat.artifacts import digest, write_bytes
from workflow_scripts.timecat.command import log
from workflow_scripts.timecat.source_code import code_of


def code_fingerprint(stage: str) -> str:
    """Digest of the source of every file of this repository that a stage runs."""
    root = Path(__file__).resolve().parents[2]
    return digest({file: (root / file).read_text() for file in code_of(stage)})


class TrainingLog:
    """A JSON-lines file that grows beside its final name and takes it when it is complete."""

    def __init__(self, path, keep_bytes: int = 0):
        """keep_bytes: how much of an interrupted job's lines to keep (position() when its state was saved)."""
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.partial, "ab")
        self.file.truncate(keep_bytes)
        self.file.seek(0, os.SEEK_END)

    def position(self) -> int:
        """Bytes that are safely in the file."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def add(self, **values) -> None:
        """Append a line."""
        self.file.write((json.dumps(values) + "\n").encode())

    def finish(self) -> None:
        """Move the file to its final name."""
        self.position()
        self.file.close()
        os.replace(self.partial, self.path)


class ResumeFile:
    """Saves a job's state every ``seconds``, and at once when the process is asked to end (SIGTERM, SIGINT)."""

    def __init__(self, output, seconds: float):
        output = Path(output)
        self.path = output.with_name(f".{output.name}.resume.pt")
        self.seconds, self.saved_at, self.asked_to_end = seconds, time.monotonic(), None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number, frame):
        self.asked_to_end = number

    def read(self) -> bytes | None:
        """What was saved, or None."""
        return self.path.read_bytes() if self.path.exists() else None

    def offer(self, make_bytes, step: int) -> None:
        """Save ``make_bytes()`` if it is time to; end the process if it was asked to."""
        due = time.monotonic() - self.saved_at >= self.seconds
        if due or self.asked_to_end:
            write_bytes(self.path, make_bytes())
            self.saved_at = time.monotonic()
        if self.asked_to_end:
            log(f"stopped by signal {self.asked_to_end} after step {step}; the next run continues from here")
            sys.exit(128 + self.asked_to_end)

    def remove(self) -> None:
        """Remove the file: the job is complete."""
        self.path.unlink(missing_ok=True)
