"""Test the tiny study as jobs of a real Slurm: same results, leases of GPUs, and cancelled or failing jobs."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.infra.conftest import with_image
from tests.support.studies import StudyFolder, jobs_of

# The cluster has one node and no accounting, and its jobs take seconds. Snakemake checks late enough that most jobs
# have ended: after each check without an ended job, it waits ten seconds longer.
FIRST_CHECK = "16"  # seconds
LOCAL = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", FIRST_CHECK)
PROFILE = ("--profile", "profiles/slurm", *LOCAL, "--slurm-no-account", "--latency-wait", "5")
GPUS = {"TIMECAT_PRETENDED_DEVICES": "4"}  # as many as Slurm pretends to have
STEPS = 120  # length of a job that tests cancel or interrupt: some seconds
FOLDER = "results/checkpoints/cues_tiny/residual4/seed{}"
DAEMON = Path(os.environ.get("SLURM_LOCAL_DIR", "/var/lib/slurm-local")) / "run/slurmctld.pid"

pytestmark = pytest.mark.usefixtures("slurm")


def target(seed: int = 2) -> str:
    return f"{FOLDER.format(seed)}/step{STEPS}.safetensors"


def log_of(seed: int = 2) -> str:
    return f"results/logs/pretrain/cues_tiny/residual4/seed{seed}/step{STEPS}.log"


@pytest.fixture(scope="module")
def longer(native, tmp_path_factory) -> StudyFolder:
    """Finished tiny study with an additional milestone (STEPS) that is not yet trained.

    Pretraining jobs save their state after every step.
    """
    study = native.copy(tmp_path_factory.mktemp("longer") / "study")

    def change(values):
        values["pretrain"]["milestones"] = [STEPS]
        values["limits"] = {"resume_seconds": 0}

    study.change_config(change)
    study.snakemake("--", *(f"{FOLDER.format(seed)}/step12.safetensors" for seed in (550, 23)))
    return study


@pytest.fixture(scope="module")
def uninterrupted(longer, tmp_path_factory) -> StudyFolder:
    """Copy of the fixture ``longer`` in which two seeds were trained to the milestone, without Slurm."""
    study = longer.copy(tmp_path_factory.mktemp("uninterrupted") / "study")
    study.snakemake("--", target(2), target(550))
    return study


@pytest.fixture
def study(longer, tmp_path):
    """Copy of the fixture ``longer``; jobs that are still in Slurm's queue after the test are cancelled."""
    yield longer.copy(tmp_path / "study")
    subprocess.run(["scancel", "--full", *queued()], check=False) if queued() else None


def queued() -> list[str]:
    """Return the numbers of the jobs in Slurm's queue."""
    return subprocess.run(["squeue", "-h", "-o", "%A"], capture_output=True, text=True).stdout.split()


def start(study: StudyFolder, *options: str) -> subprocess.Popen:
    """Start Snakemake with the Slurm profile, and return its process."""
    return subprocess.Popen(
        study.command(*PROFILE, *options),
        cwd=study.path,
        env=study.environment() | GPUS,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_it_trains(study: StudyFolder, snakemake: subprocess.Popen) -> None:
    """Wait until the job of seed 2 has saved its training state."""
    resume = study.path / FOLDER.format(2) / f".step{STEPS}.safetensors.resume.pt"
    deadline = time.monotonic() + 120
    while not resume.exists():
        assert snakemake.poll() is None and time.monotonic() < deadline, "the job did not save its state"
        time.sleep(0.05)


def assert_same(study: StudyFolder, uninterrupted: StudyFolder, *seeds: int) -> None:
    """Check that the weights of these seeds equal the weights of the uninterrupted study."""
    for seed in seeds:
        assert study.read(target(seed)) == uninterrupted.read(target(seed)), seed


def test_slurm_gives_the_same_results_as_this_machine(native, tmp_path):
    """The run also uses the lines of the profile for many short jobs, which are comments by default."""
    study = StudyFolder.fresh(tmp_path / "study")
    for name in ("groups:", "group-components:", "set-resource-scopes:", "resources: gpu=1"):
        study.edit("profiles/slurm/profile.yaml", f"\n# {name}", f"\n{name}")
    done = study.snakemake(*PROFILE, "--", "results/table2.csv", variables=GPUS)
    for table in ("table2.csv", "table2.svg", "metrics.parquet"):
        assert study.read(f"results/{table}") == native.read(f"results/{table}"), table
    assert study.checkpoints() == native.checkpoints()
    submissions = len(re.findall(r"has been submitted with SLURM jobid", done.stderr))
    assert submissions == 2 + 4 + 1 + 1, (
        "one job per .beton and checkpoint, one group of all features, one of all probes"
    )
    logs = (study.path / "results/logs/slurm").rglob("*.log")
    assert not [path for path in logs if "pretrain" in str(path)], "logs of successful jobs are removed"


def test_slurm_jobs_get_distinct_gpus(study, uninterrupted):
    """Two jobs get one GPU each; later, one job gets two GPUs."""

    def two(values):
        values["limits"] |= {"pretrain_gpus": 2}

    study.snakemake(*PROFILE, "--", target(2), target(550), variables=GPUS)
    gpus = [re.search(r"computing on pretended GPU (.*)", study.read(log_of(seed)).decode())[1] for seed in (2, 550)]
    assert sorted(gpus) == ["0", "1"]
    assert_same(study, uninterrupted, 2, 550)
    study.change_config(two)
    study.snakemake(*PROFILE, "--", target(23), variables=GPUS)
    log = study.read(log_of(23)).decode()
    assert log.count("computing on pretended GPU 0, 1") == 1 and log.count("2 processes share the work") == 1


def test_a_cancelled_job_resumes_in_the_next_run(study, uninterrupted):
    """Snakemake reports the job as cancelled."""
    snakemake = start(study, "--retries", "0", "--", target())
    wait_until_it_trains(study, snakemake)
    (job,) = set(queued())
    subprocess.run(["scancel", job], check=True)
    _, said = snakemake.communicate(timeout=120)
    assert snakemake.returncode == 1 and "CANCELLED" in said and job in said
    assert not (study.path / target()).exists() and not queued()
    study.snakemake(*PROFILE, "--", target(), variables=GPUS)
    assert "continuing an interrupted job after step" in study.read(log_of()).decode()
    assert_same(study, uninterrupted, 2)


def test_a_failing_job_is_retried_with_more_memory(study, native):
    """The remaining jobs finish although this job fails."""
    features = "results/features/cues_tiny/residual4/seed{}/step4/cues_tiny.json"
    weights = study.path / FOLDER.format(2) / "step4.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    wanted = [features.format(seed) for seed in (2, 550)]
    done = study.snakemake(
        *PROFILE, "--retries", "1", "--forcerun", *wanted, "--", *wanted, check=False, variables=GPUS
    )
    assert done.returncode == 1 and "FAILED" in done.stderr and str(weights.name) in done.stderr
    asked = re.findall(r"mem_mb=(\d+)", done.stderr)
    assert {"2000", "4000"} <= set(asked), "the second attempt gets more memory"
    assert (study.path / wanted[1]).exists() and not (study.path / wanted[0]).exists()
    weights.write_bytes(whole)
    assert jobs_of(study.snakemake(*PROFILE, "--", *wanted, variables=GPUS)) == {"extract_features": 1}
    assert study.read(wanted[0]) == native.read(wanted[0])


def test_a_run_survives_a_restart_of_slurmctld(study, uninterrupted):
    # Snakemake checks after 2 seconds and again 12 seconds later, while slurmctld is stopped.
    snakemake = start(study, "--slurm-init-seconds-before-status-checks", "2", "--", target())
    wait_until_it_trains(study, snakemake)
    daemon = int(DAEMON.read_text())
    os.kill(daemon, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{daemon}").exists():
        assert time.monotonic() < deadline, "slurmctld did not stop"
        time.sleep(0.1)
    time.sleep(8)
    subprocess.run(["slurmctld"], check=True)
    _, said = snakemake.communicate(timeout=180)
    assert snakemake.returncode == 0, said[-3000:]
    assert_same(study, uninterrupted, 2)


def test_slurm_jobs_in_the_container_give_the_same_weights(built, native, tmp_path):
    study = with_image(StudyFolder.fresh(tmp_path / "study"), built)
    study.change_config(lambda values: values.update(container=built_config(built)))
    weights = f"{FOLDER.format(2)}/step4.safetensors"
    done = study.snakemake(*PROFILE, "--software-deployment-method", "apptainer", "--", weights, variables=GPUS)
    assert jobs_of(done) == {"write_dataset": 2, "pretrain": 1}
    assert study.read(weights) == native.read(weights)


def built_config(built: StudyFolder) -> dict:
    import yaml

    return yaml.safe_load(built.read("config/tiny.yaml"))["container"]
