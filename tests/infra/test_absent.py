"""Test the error message if Apptainer is missing; this test needs neither Apptainer nor Slurm."""

import os
from pathlib import Path

from tests.support.studies import StudyFolder


def test_building_the_image_without_apptainer_is_refused(tmp_path):
    study = StudyFolder.fresh(tmp_path / "study")
    places = [place for place in os.environ["PATH"].split(os.pathsep) if not (Path(place) / "apptainer").exists()]
    # Tools that the run needs, because the folder that contains apptainer is removed from PATH.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "tee", "env", "cat", "git", "which"):
        for place in ("/usr/bin", "/bin"):
            if (Path(place) / name).exists() and not (tools / name).exists():
                (tools / name).symlink_to(Path(place) / name)
    path = os.pathsep.join([str(tools), *places])
    done = study.snakemake("--", "containers/timecat.sif", check=False, variables={"PATH": path})
    assert done.returncode == 1 and "error: apptainer is not on PATH: install Apptainer" in done.stderr
    assert not (study.path / "containers/timecat.sif").exists()
