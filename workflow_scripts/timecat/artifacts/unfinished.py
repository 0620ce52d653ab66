"""A folder beside an output in which what a long job has finished gathers: an interrupted one does not do it again."""

import shutil
from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes

FINGERPRINT = ".fingerprint"


def kept_folder(output: Path, fingerprint: str) -> Path:
    """The folder ``.<name of output>.unfinished``, which Snakemake does not know of (it deletes declared outputs).

    What an interrupted job of the same fingerprint (of params, inputs and code) left there is kept, but for the file
    that it was writing; anything else is removed.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    if not (folder / FINGERPRINT).exists() or (folder / FINGERPRINT).read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        write_bytes(folder / FINGERPRINT, fingerprint.encode())
    for left in folder.glob(".*.tmp"):  # of the file that a killed process was writing
        left.unlink()
    return folder
