"""Check that a study gives the same results with any number of cores, without GPUs, and with forks."""

import pytest

from tests.support.studies import StudyFolder, jobs_of


@pytest.mark.parametrize(("cores", "options"), [(1, ["--resources", "gpu=0"]), (8, ["--resources", "gpu=4"])])
def test_cores_and_gpus_do_not_change_results(finished, tmp_path, cores, options):
    """The fixture ``finished`` ran on 2 cores without --resources."""
    study = StudyFolder.fresh(tmp_path / "study")
    study.snakemake(*options, "--", "results/table2.csv", cores=cores)
    for table in ("table2.csv", "table2.md", "table2.tex", "table2.svg", "metrics.parquet"):
        assert study.read(f"results/{table}") == finished.read(f"results/{table}"), table
    assert study.checkpoints() == finished.checkpoints()
    assert_said_once(study, "no GPU was requested" if "gpu=0" in options else "no GPU is visible")


def test_forks_give_the_same_results(finished, tmp_path):
    """The fixture ``finished`` ran each job in a separate process, as large studies do."""
    study = StudyFolder.fresh(tmp_path / "study")
    study.change_config(lambda values: values.update(limits={"forkserver": True}))
    study.snakemake("--", "results/table2.csv")
    for table in ("table2.csv", "table2.svg", "metrics.parquet"):
        assert study.read(f"results/{table}") == finished.read(f"results/{table}"), table
    assert study.checkpoints() == finished.checkpoints()
    logs = sorted((study.path / "results/logs").rglob("*.log"))
    assert all("as a fork" in log.read_text() for log in logs if "start-up" in log.read_text())
    assert_said_once(study, "as a fork")
    assert not any("as a fork" in log.read_text() for log in (finished.path / "results/logs").rglob("*.log"))


def test_the_scheduler_of_snakemake_wakes_only_when_a_job_ends(study):
    jobs = 7
    done = study.snakemake("--verbose", "--forcerun", "extract_features", "--", "results/table2.csv", cores=1)
    assert sum(jobs_of(done).values()) == jobs
    assert done.stderr.count("Ready jobs: ") <= 2 * jobs


def test_a_requested_gpu_that_is_missing_is_reported(study):
    """The jobs then compute on the CPU."""
    study.snakemake("--resources", "gpu=1", "--forcerun", "probe", "--", "results/table2.csv")
    assert_said_once(study, "no GPU is visible")


def test_a_run_without_resources_computes_on_the_cpu(finished):
    assert_said_once(finished, "no GPU is visible")


def assert_said_once(study: StudyFolder, text: str) -> None:
    """Check that the log of each job with a device has a text, and names the CPU as its device once."""
    logs = [
        path
        for stage in ("pretrain", "extract_features", "probe")
        for path in (study.path / "results/logs" / stage).rglob("*.log")
    ]
    assert len(logs) == 4 + 4 + 2
    for log in logs:
        assert log.read_text().count("computing on the CPU") == 1 and text in log.read_text(), log
