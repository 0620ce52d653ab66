"""Run studies from folders outside the project, and with results in a different folder."""

import subprocess

import yaml

from tests.support.record import results_of
from tests.support.studies import ROOT, TINY, StudyFolder, jobs_of

BETON = "data_sets/cues_tiny/train.beton"


# Script that replaces Apptainer: it writes its arguments to a file, and runs the command on this machine with the
# environment that a container would have.
APPTAINER = """#!/bin/bash
if [ "$1" = --version ]; then echo "apptainer version 1.4.5"; exit; fi
printf '%s\\n' "bound $APPTAINER_BIND" "$@" > told
PYTHONPATH=$APPTAINERENV_PYTHONPATH PYTHONSAFEPATH=$APPTAINERENV_PYTHONSAFEPATH exec bash -c "${@: -1}"
"""


def snakemake(clone: StudyFolder, folder, *options: str, **variables: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder, and return the finished process.

    variables: additional environment variables.
    """
    done = subprocess.run(
        ["snakemake", "--cores", "2", *options],
        cwd=folder,
        env=clone.environment() | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done


def write_study(path, **changes) -> None:
    """Write the tiny study's config to a path, with changed values."""
    path.write_text(yaml.safe_dump(yaml.safe_load((ROOT / TINY).read_text()) | changes))


def test_a_run_from_elsewhere_gives_the_same_results(finished, tmp_path):
    """The run has a different results_dir, and its working directory has a package with the project's name.

    Jobs are forks. After all folders have moved, no job reruns.
    """
    before, after = tmp_path / "before", tmp_path / "after"
    clone = StudyFolder.fresh(before / "clone")
    clone.forks = False
    (before / "work/workflow_scripts/timecat").mkdir(parents=True)
    for package in ("workflow_scripts", "workflow_scripts/timecat"):
        (before / "work" / package / "__init__.py").write_text("raise SystemExit('this is another package')")
    write_study(before / "work/study.yaml", results_dir="made", limits={"forkserver": True})
    options = ["-s", "../clone/Snakefile", "--configfile", "study.yaml", "--", "made/table2.csv"]
    snakemake(clone, before / "work", *options)
    made = {name.removeprefix("made/"): digest for name, digest in results_of(before / "work", "made").items()}
    assert made == {name.removeprefix("results/"): digest for name, digest in results_of(finished.path).items()}
    assert not (clone.path / "made").exists() and not (before / "work/results").exists()
    log = next((before / "work/made/logs/pretrain").rglob("*.log")).read_text()
    assert "as a fork" in log
    before.rename(after)
    assert jobs_of(snakemake(clone, after / "work", "-n", *options)) == {}
    assert "Nothing to be done" in snakemake(clone, after / "work", *options).stderr


def test_a_moved_clone_with_its_results_reruns_no_job(finished, tmp_path):
    study = finished.copy(tmp_path / "moved")
    assert study.run("--", "results/table2.csv") == {}


def test_two_studies_in_one_clone_keep_separate_results(finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    before = results_of(study.path)
    write_study(study.path / "config/other.yaml", results_dir="other", scratch_dir=str(tmp_path / "scratch"))
    values = yaml.safe_load((study.path / "config/other.yaml").read_text())
    values["data_sets"]["cues_tiny"]["rows"]["train"] += 4
    (study.path / "config/other.yaml").write_text(yaml.safe_dump(values))
    assert study.run("--", f"other/{BETON}", config="config/other.yaml") == {"write_dataset": 1}
    assert (study.path / "other/data_sets").is_symlink() and (tmp_path / "scratch/cues_tiny/train.beton").is_file()
    assert study.read(f"other/{BETON}.json") != study.read(f"results/{BETON}.json")
    assert results_of(study.path) == before
    assert study.run("--", "results/table2.csv") == {}
    assert study.run("--", f"other/{BETON}", config="config/other.yaml") == {}


def test_a_container_run_from_elsewhere_uses_the_projects_image(tmp_path):
    """The project's folder is bound into the container. A script replaces Apptainer, and an empty file the image."""
    clone = StudyFolder.fresh(tmp_path / "clone")
    clone.forks = False
    for name in ("timecat.sif", "timecat.sif.sha256"):
        (clone.path / "containers" / name).write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text(APPTAINER)
    (tmp_path / "bin/apptainer").chmod(0o755)
    (tmp_path / "work").mkdir()
    place = ["-s", f"{clone.path}/Snakefile", "--configfile", f"{clone.path}/{TINY}", "--", f"results/{BETON}"]
    path = f"{tmp_path}/bin:{clone.environment()['PATH']}"
    snakemake(clone, tmp_path / "work", "--sdm", "apptainer", *place, PATH=path)
    assert (tmp_path / "work/results" / BETON).is_file()
    told = (tmp_path / "work/told").read_text().splitlines()
    assert told[0] == f"bound {clone.path}"
    image = next(word for word in told if word.endswith("timecat.sif"))
    assert (tmp_path / "work" / image).samefile(clone.path / "containers/timecat.sif")
