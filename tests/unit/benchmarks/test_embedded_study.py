"""Tests of benchmarks.embedded_study: measures avoid the imports that they name, and times are added correctly."""

import subprocess
import sys

import pytest

from benchmarks import embedded_study
from tests.support.studies import StudyFolder

# Module that a process imports without a measure and does not import with it -> part of the measure's name.
SPARED = {"setuptools": "and without setuptools", "torch._dynamo": "compiler is not imported"}


@pytest.mark.parametrize("module", SPARED)
def test_a_module_is_imported_without_the_measure_and_not_with_it(module, root):
    ((_, without, within, _),) = (row for row in embedded_study.SHORTER_PROCESSES if SPARED[module] in row[0])
    for code, imported in ((without, True), (within, False)):
        assert code.endswith(embedded_study.END)
        asked = code.removesuffix(embedded_study.END) + f"import sys; assert ({module!r} in sys.modules) is {imported}"
        subprocess.run([sys.executable, "-c", asked], cwd=root, check=True)


def test_an_allocator_that_keeps_memory_does_not_change_the_loss(monkeypatch):
    monkeypatch.setattr(embedded_study, "TRAINING_STEPS", 4)
    assert embedded_study.training_step(keep=True)[1] == embedded_study.training_step(keep=False)[1]


def job(folder: StudyFolder, stage: str, name: str, seconds: float, start_up: float, files=()) -> None:
    """Write the files that a job of the study leaves: its benchmark, its log and its features."""
    for path, text in (
        (f"benchmarks/{stage}/{name}.tsv", f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t512.5\n"),
        (f"logs/{stage}/{name}.log", f"reading\nstart-up {start_up:.2f} s\n"),
        *((f"features/{name}/{file}", "") for file in files),
    ):
        path = folder.path / "results" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_start_up_and_work_of_stages_are_added_up_separately(tmp_path):
    folder = StudyFolder(tmp_path)
    for stage in embedded_study.STAGES:
        job(folder, stage, "source/a", 3.0, 1.0)
        job(folder, stage, "source/b", 5.0, 1.5)
    page = embedded_study.study_table(folder, wall=30.0)
    assert "| probe | 2 | 4.0 | 1.2 | 8 | 512 |" in page
    assert "start-up takes 12 s and work 28 s; the two cores were available for 60 s." in page[-1]


def test_the_start_up_of_one_job_per_feature_file_is_added_up(tmp_path):
    folder = StudyFolder(tmp_path)
    files = ["evaluation.center.npy", "heldout.center.npy", "train.view0.npy"]
    job(folder, "extract_features", "cues/step80/digits", 3.0, 1.5, files)
    job(folder, "extract_features", "cues/step80/sketch", 3.0, 2.0, files[:1])
    assert embedded_study.per_file_start_up(folder) == 2 * 1.5
