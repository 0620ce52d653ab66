"""Test that stages find the project's folder and its files from any working directory."""

import os
import subprocess
import sys

import pytest

from tests.support.studies import ROOT
from workflow_scripts.timecat.artifacts import project
from workflow_scripts.timecat.errors import UserError


@pytest.fixture
def environment(monkeypatch):
    """Environment variables that the test may change; they are restored afterwards."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", project.VARIABLE, "APPTAINER_BIND"):
        os.environ.pop(name, None)
    return os.environ


def test_paths_are_relative_to_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert project.path_of("config/config.yaml") == "config/config.yaml"
    monkeypatch.chdir(ROOT / "config")
    assert project.path_of("config/config.yaml") == "config.yaml"
    monkeypatch.chdir(tmp_path)
    found = project.path_of("Snakefile")
    assert not os.path.isabs(found) and os.path.samefile(found, ROOT / "Snakefile")


def test_exporting_twice_adds_the_folder_to_the_path_once(environment):
    environment["PYTHONPATH"] = f"/other{os.pathsep}{ROOT}"
    project.export()
    project.export()
    assert environment["PYTHONPATH"] == f"{ROOT}{os.pathsep}/other"
    assert not any(name.startswith("APPTAINER") for name in environment)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_containers_get_the_variables_and_the_bound_folder(environment, monkeypatch, tmp_path, elsewhere):
    """Snakemake itself binds a working directory that contains the project."""
    monkeypatch.chdir(tmp_path if elsewhere else ROOT.parent)
    environment["APPTAINER_BIND"] = "/data"
    project.export(in_containers=True)
    project.export(in_containers=True)
    assert environment["APPTAINERENV_PYTHONPATH"] == environment["APPTAINERENV_TIMECAT_ROOT"] == str(ROOT)
    assert environment["APPTAINERENV_PYTHONSAFEPATH"] == "1"
    assert environment["APPTAINER_BIND"] == (f"{ROOT},/data" if elsewhere else "/data")


def test_code_of_another_clone_is_refused(environment, tmp_path):
    project.check()
    project.check(str(ROOT))
    with pytest.raises(UserError, match="but the Snakefile is in /other"):
        project.check("/other")
    environment[project.VARIABLE] = str(tmp_path)
    with pytest.raises(UserError, match=f"loaded from {ROOT}, but the Snakefile is in {tmp_path}"):
        project.check()


def test_a_stage_of_another_clone_ends_with_an_error(tmp_path):
    """The stage ends with a one-line error message (no traceback)."""
    done = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.counterexample", "--help"],
        cwd=ROOT,
        env=os.environ | {project.VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr.startswith("error: the package workflow_scripts was loaded from") and done.stderr.count("\n") == 1
    )
