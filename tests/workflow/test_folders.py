"""Check dry runs from folders outside the project, and with results in a different folder."""

import subprocess
import sys

import pytest
import yaml

from tests.support.studies import ROOT, TINY, StudyFolder, jobs_of


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("elsewhere") / "clone")


def dry_run(clone: StudyFolder, folder, *options: str, check: bool = True) -> subprocess.CompletedProcess:
    """Return the finished dry run of the clone's Snakefile, started in a folder."""
    done = subprocess.run(
        ["snakemake", "-n", "--cores", "2", *options],
        cwd=folder,
        env=clone.environment(),
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_run_from_another_folder_has_the_same_jobs(clone, tmp_path):
    expected = jobs_of(clone.snakemake("-n", "--", "results/table2.csv"))
    snakefile, config = f"{clone.path}/Snakefile", f"{clone.path}/{TINY}"
    for options in (["-s", snakefile], ["-s", "../clone/Snakefile"], ["-s", snakefile, "--directory", str(tmp_path)]):
        folder = clone.path.parent / "work"
        folder.mkdir(exist_ok=True)
        done = dry_run(clone, folder, *options, "--configfile", config, "--", "results/table2.csv")
        assert jobs_of(done) == expected
        assert "profiles/default" in done.stderr
    assert jobs_of(dry_run(clone, clone.path, "--directory", str(tmp_path), "--configfile", TINY)) == expected
    assert jobs_of(dry_run(clone, clone.path / "config", "-s", "../Snakefile", "--configfile", "tiny.yaml")) == expected


def test_code_is_listed_relative_to_the_working_directory(clone):
    """A clone that moves together with its results reruns no job, because the paths are relative.

    In the clone itself, paths have no prefix.
    """
    folder = clone.path.parent / "beside"
    folder.mkdir()
    here = clone.snakemake("-n", "--", "results/counterexample.parquet").stdout
    there = dry_run(clone, folder, "-s", f"{clone.path}/Snakefile", "--", "results/counterexample.parquet").stdout
    assert "input: workflow_scripts/counterexample.py, " in here
    assert "input: ../clone/workflow_scripts/counterexample.py, " in there
    assert str(clone.path) not in there.partition("rule counterexample:")[2]


def test_a_run_from_elsewhere_has_the_embedded_study_by_default(clone, tmp_path):
    expected = jobs_of(clone.snakemake("-n", config=None))
    assert jobs_of(dry_run(clone, tmp_path, "-s", f"{clone.path}/Snakefile")) == expected


@pytest.mark.parametrize("config", ["paper", "swav"])
def test_studies_that_share_data_sets_run_from_elsewhere(clone, tmp_path, config):
    done = dry_run(
        clone, tmp_path, "-s", f"{clone.path}/Snakefile", "--configfile", f"{clone.path}/config/{config}.yaml"
    )
    assert jobs_of(done)["tabulate"] == 1


def test_all_outputs_and_logs_are_in_results_dir(clone, tmp_path):
    values = yaml.safe_load((ROOT / TINY).read_text())
    for folder in ("first", str(tmp_path / "second")):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values | {"results_dir": folder}))
        done = clone.snakemake("-n", "-p", "--", "all_arms", config=str(tmp_path / "study.yaml"))
        assert f"output: {folder}/table2.csv" in done.stdout and f" 2> {folder}/logs/" in done.stdout
        assert "results/" not in done.stdout


def test_containers_use_the_projects_image_and_digest(clone, tmp_path):
    """No image is built: an empty file replaces the image, and a script replaces Apptainer."""
    for name in ("timecat.sif", "timecat.sif.sha256"):
        (clone.path / "containers" / name).write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text("#!/bin/sh\necho apptainer version 1.4.5\n")
    (tmp_path / "bin/apptainer").chmod(0o755)
    environment = clone.environment()
    done = subprocess.run(
        ["snakemake", "-n", "--cores", "1", "--sdm", "apptainer", "-s", str(clone.path / "Snakefile")],
        cwd=tmp_path,
        env=environment | {"PATH": f"{tmp_path}/bin:{environment['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    jobs = done.stdout.partition("rule write_dataset:")[2]
    assert "/clone/containers/timecat.sif.sha256" in jobs and str(clone.path) not in jobs
    assert " containers/timecat.sif.sha256" not in jobs


def test_an_earlier_package_of_the_same_name_is_refused(clone, tmp_path):
    """The package is earlier on the module path than the project."""
    other = StudyFolder.fresh(tmp_path / "other")
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        ["snakemake", "-n", "-s", str(clone.path / "Snakefile")],
        cwd=tmp_path / "work",
        env=clone.environment() | {"PYTHONPATH": f"{other.path}:{clone.path}"},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    assert f"loaded from {other.path}, but the Snakefile is in {clone.path}: remove" in said


def test_the_plan_runs_from_elsewhere(clone, tmp_path):
    """The plan reads results in `results_dir`, and ignores a table in the default folder results/.

    Once the table and its probes exist, no job is left.
    """
    values = yaml.safe_load((ROOT / TINY).read_text())
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/sets.yaml").write_text(yaml.safe_dump({"data_sets": values.pop("data_sets")}))
    values |= {"data_sets_file": "shared/sets.yaml", "results_dir": "shared/made"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))

    def plan(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "workflow_scripts.plan", *options],
            cwd=tmp_path,
            env=clone.environment() | {"PYTHONPATH": str(clone.path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "results").mkdir()
    (tmp_path / "results/table2.csv").write_text("")
    assert "Nothing is left to run." not in plan("--configfile", "study.yaml")
    assert "clone/config/config.yaml" in plan()
    probes = tmp_path / "shared/made/probes/cues_tiny/cues_tiny"
    probes.mkdir(parents=True)
    (tmp_path / "shared/made/table2.csv").write_text("")
    assert "Nothing is left to run." not in plan("--configfile", "study.yaml"), "another study's table"
    for arm in ("cat1", "cat3"):
        for ending in ("parquet", "predictions.parquet", "predictions.parquet.json"):
            (probes / f"{arm}.{ending}").write_text("")
    assert "Nothing is left to run." in plan("--configfile", "study.yaml")
