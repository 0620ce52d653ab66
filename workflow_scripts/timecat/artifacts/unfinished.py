"""Keep the finished files of a long job in a folder beside its output, so that an interrupted job reuses them."""

import shutil
from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes

FINGERPRINT = ".fingerprint"


def kept_folder(output: Path, fingerprint: str) -> Path:
    """Return the folder ``.<name of output>.unfinished``, after creating it or removing files that cannot be used.

    Snakemake does not know this folder, while it deletes declared outputs. Files of an interrupted job with the same
    fingerprint (of params, inputs and code) are kept, except the one that was being written. All others are removed.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    if not (folder / FINGERPRINT).exists() or (folder / FINGERPRINT).read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        write_bytes(folder / FINGERPRINT, fingerprint.encode())
    for left in folder.glob(".*.tmp"):  # a killed process was writing this file
        left.unlink()
    return folder
