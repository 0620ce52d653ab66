"""Test stages in the container image that the workflow builds, with a real Apptainer."""

import hashlib
import json
import re
import subprocess

import pytest

from tests.infra.conftest import DIGEST, IMAGE, fresh_study, shell_command, with_image
from tests.support.studies import ROOT, StudyFolder, jobs_of

PROFILE = ("--profile", "profiles/apptainer")
TABLES = ("table2.csv", "table2.svg", "metrics.parquet")
ALL = {"write_dataset": 2, "pretrain": 4, "extract_features": 4, "probe": 2, "tabulate": 1}


@pytest.fixture(scope="module")
def contained(built, tmp_path_factory) -> StudyFolder:
    """Finished tiny study whose jobs ran in the container image. Do not change it: copy it."""
    study = with_image(fresh_study(tmp_path_factory.mktemp("contained") / "study"), built)
    assert jobs_of(study.snakemake(*PROFILE, "--", "results/table2.csv")) == ALL
    return study


def apptainer(*words: str) -> str:
    done = subprocess.run(["apptainer", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_image_passes_its_built_in_test(built):
    """The image also has labels, a help text and compiled byte code."""
    image = str(built.path / IMAGE)
    labels = json.loads(apptainer("inspect", "--json", image))["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.title"] == "timecat" and labels["timecat.gpu"] == "no"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    assert "packages import, and FFCV decodes a JPEG" in apptainer("test", image)
    assert "--profile profiles/apptainer" in apptainer("run-help", image)
    # The image has byte code: without it Python would compile at each start, because a read-only image cannot cache it.
    code = "import torch.nn, os; assert os.path.exists(torch.nn.__cached__)"
    apptainer("exec", image, "python", "-c", code)


def test_the_digest_file_has_the_sha256_of_the_image(built):
    stated, name = built.read(DIGEST).decode().split()
    assert name == "timecat.sif"
    with open(built.path / IMAGE, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == stated


def test_the_log_shows_the_progress_of_the_build(built):
    log = built.read("results/logs/build_image/timecat.log").decode()
    assert "timecat.def: packages" in log and "Creating SIF file" in log and re.search(r"timecat.sif: \d\.\d\d GB", log)


def test_container_and_host_give_the_same_results(contained, native):
    for table in TABLES:
        assert contained.read(f"results/{table}") == native.read(f"results/{table}"), table
    assert contained.checkpoints() == native.checkpoints()
    assert contained.run(*PROFILE, "--", "results/table2.csv") == {}


def test_a_change_of_container_reruns_all_jobs(contained, tmp_path):
    """The second run uses no container, the third one a different image."""
    study = contained.copy(tmp_path / "study")
    natively = study.snakemake("-n", "--", "results/table2.csv")
    assert jobs_of(natively) == ALL and "Software environment definition has changed" in natively.stdout
    (study.path / DIGEST).unlink()
    (study.path / DIGEST).write_text("0" * 64 + "  timecat.sif\n")
    assert jobs_of(study.snakemake(*PROFILE, "-n", "--", "results/table2.csv")) == ALL


def test_a_stage_uses_nothing_from_the_host(contained, native, tmp_path):
    """The extraction cannot see the host's environment variables, home and folders, except for the study's folder."""
    study = contained.copy(tmp_path / "study")
    features = "results/features/cues_tiny/residual4/seed2/step4/cues_tiny"
    shown = study.snakemake(*PROFILE, "-n", "-p", "--forcerun", f"{features}.json", "--", f"{features}.json").stdout
    command = shell_command(shown, "extract_features")
    subprocess.run(["rm", "-r", study.path / features, study.path / f"{features}.json"], check=True)
    place = ["--containall", "--cleanenv", "--bind", f"{study.path}:/mnt", "--pwd", "/mnt"]
    apptainer("exec", *place, str(study.path / IMAGE), "bash", "-c", command)
    assert "computing on the CPU" in study.read(f"results/logs/extract_features/{features[17:]}.log").decode()
    for path in sorted((native.path / features).glob("*.npy")):
        assert study.read(f"{features}/{path.name}") == path.read_bytes(), path.name


def test_a_failed_build_leaves_no_image(apptainer, tmp_path):
    """The run ends with an error message that names the definition file."""
    study = fresh_study(tmp_path / "study")
    text = (ROOT / "containers/timecat.def").read_text()
    (study.path / "containers/timecat.def").write_text(re.sub(r"(?<=%post\n)", "    exit 3\n", text))
    done = study.snakemake("--", IMAGE, check=False)
    assert done.returncode == 1
    assert (
        "error: containers/timecat.def could not be built" in done.stderr
        and "fix the error in the lines above" in done.stderr
    )
    assert {path.name for path in (study.path / "containers").iterdir()} == {"README.md", "check.py", "timecat.def"}


def test_the_definition_names_no_registry_host(built):
    stated = apptainer("inspect", "--deffile", str(built.path / IMAGE))
    for text in (stated, (ROOT / "containers/timecat.def").read_text()):
        assert not re.search(r"https?://|index-url|find-links", text)
