"""Locate the project's folder (the one that contains this package), and let stages find it from any working directory.

The working directory of a run may differ from the project's folder, since Snakemake's options ``-s`` and
``--directory`` name the Snakefile and the working directory. Rules list paths relative to the working directory, so
moving both folders together does not cause re-runs. If the working directory is the project's folder, the paths are
plain, such as ``config/config.yaml``.
"""

import os
from pathlib import Path

from workflow_scripts.timecat.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
VARIABLE = "TIMECAT_ROOT"  # environment variable of jobs: the folder of the Snakefile that runs them


def path_of(file: str) -> str:
    """Return the path of one of the project's files, relative to the working directory."""
    return os.path.relpath(ROOT / file)


def export(in_containers: bool = False) -> None:
    """Set environment variables so that child processes import this package from this project's folder.

    in_containers: whether to set them for processes in Apptainer containers, too.
    """
    earlier = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    # `python -m` would look for the package in the working directory first, which may be another clone.
    told = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", VARIABLE: str(ROOT)}
    os.environ.update(told | {"PYTHONPATH": os.pathsep.join([str(ROOT), *earlier])})
    if not in_containers:
        return
    os.environ.update({f"APPTAINERENV_{name}": value for name, value in told.items()})
    if not ROOT.is_relative_to(Path.cwd()):  # Snakemake binds the working directory
        bound = [place for place in os.environ.get("APPTAINER_BIND", "").split(",") if place and place != str(ROOT)]
        os.environ["APPTAINER_BIND"] = ",".join([str(ROOT), *bound])


def check(snakefile_folder: str | None = None) -> None:
    """Raise UserError if this package is not in the Snakefile's folder (default: the folder named by TIMECAT_ROOT)."""
    expected = snakefile_folder or os.environ.get(VARIABLE)
    if expected is not None and Path(expected).resolve() != ROOT:
        raise UserError(
            f"the package workflow_scripts was loaded from {ROOT}, but the Snakefile is in {expected}: remove the "
            "first folder from PYTHONPATH, or run in a folder that has no workflow_scripts"
        )
