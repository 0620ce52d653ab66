"""Keep the finished files of a long job in a folder beside its output, so that an interrupted job reuses them."""

import shutil
from pathlib import Path

from workflow_scripts.timecat.artifacts.files import write_bytes

FINGERPRINT = ".fingerprint"


def kept_folder(output: Path, fingerprint: str) -> Path:
    """Return the folder ``.<name of output>.unfinished``, which holds the finished files of an interrupted job.

    fingerprint: digest of the params, inputs and code of this job. Files of a job with the same fingerprint are kept,
    except a file that was being written. All other files in the folder are removed. If the folder does not exist, it is
    created. Snakemake deletes declared outputs before a job runs, but it does not know this folder.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    if not (folder / FINGERPRINT).exists() or (folder / FINGERPRINT).read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        write_bytes(folder / FINGERPRINT, fingerprint.encode())
    for left in folder.glob(".*.tmp"):  # a killed process was writing this file
        left.unlink()
    return folder
