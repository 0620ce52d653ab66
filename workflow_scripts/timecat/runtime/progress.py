"""Show progress: a bar in a terminal, a few lines in a log file."""

import sys
from typing import TYPE_CHECKING

from workflow_scripts.timecat.runtime.command import log

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

LINES = 5  # most lines of progress that a job writes to a log file


class Progress:
    """Counter of work from ``done`` to ``total`` units. Call ``advance`` after each unit and ``close`` at the end.

    quiet: whether to show nothing (only one process of a job reports progress).
    """

    def __init__(self, total: int, title: str, unit: str, done: int = 0, quiet: bool = False):
        self.total, self.title, self.unit, self.done, self.quiet = total, title, unit, done, quiet
        self.bar: Bar | None = None
        if sys.stderr.isatty() and not quiet:
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, desc=title, unit=unit, leave=False)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` further units of work as done. ``note`` is shown at the end of the bar or line."""
        before, self.done = self.done, self.done + count
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(count)
        elif not self.quiet and before * LINES // self.total != self.done * LINES // self.total:
            log(f"{self.title}: {self.done} of {self.total} {self.unit}" + (f", {note}" if note else ""))

    def close(self) -> None:
        """Remove the progress bar from the terminal."""
        if self.bar is not None:
            self.bar.close()
