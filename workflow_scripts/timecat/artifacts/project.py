"""The project's folder, in which this package lies: paths of its files, and how a stage's process finds it from any other.

A run's working directory need not be this folder: Snakemake is told of the Snakefile with ``-s``, or of another working
directory with ``--directory``. Paths that a study's rules list are relative to the working directory, so nothing re-runs after
both have moved together. In the project's folder itself they are the plain ones.
"""

import os
from pathlib import Path

from workflow_scripts.timecat.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
VARIABLE = "TIMECAT_ROOT"  # in the environment of jobs: the folder whose Snakefile runs them


def path_of(file: str) -> str:
    """Return the path of one of the project's files, relative to the working directory."""
    return os.path.relpath(ROOT / file)


def export(in_containers: bool = False) -> None:
    """Let all processes that this one starts import this package, wherever they work and, if wanted, in containers too."""
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
    """UserError where this package is not that of the Snakefile: of its folder, or else of the one that jobs are told of."""
    expected = snakefile_folder or os.environ.get(VARIABLE)
    if expected is not None and Path(expected).resolve() != ROOT:
        raise UserError(
            f"the package workflow_scripts was loaded from {ROOT}, but the Snakefile is in {expected}: remove the former "
            "from PYTHONPATH, or run in a folder that has no workflow_scripts"
        )
