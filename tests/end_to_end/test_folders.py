"""Runs from other folders than the project's, and studies with folders of results of their own."""

import subprocess

import yaml

from tests.support.record import results_of
from tests.support.studies import ROOT, TINY, StudyFolder, jobs_of

BETON = "data_sets/cues_tiny/train.beton"


def snakemake(clone: StudyFolder, folder, *options: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder, with what the jobs are told by its own process alone."""
    done = subprocess.run(
        ["snakemake", "--cores", "2", *options], cwd=folder, env=clone.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done


def write_study(path, **changes) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load((ROOT / TINY).read_text()) | changes))


def test_from_another_folder_into_another_one_the_bytes_are_the_same(finished, tmp_path):
    """Jobs are forks, and the working directory has a package of the same name. Then all of it moves."""
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


def test_a_clone_that_moves_with_its_results_runs_nothing(finished, tmp_path):
    study = finished.copy(tmp_path / "moved")
    assert study.run("--", "results/table2.csv") == {}


def test_two_studies_in_one_clone_overwrite_nothing_of_one_another(finished, tmp_path):
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
