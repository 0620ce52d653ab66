"""Check studies of published weights in dry runs: their jobs, downloads and style."""

import re

import pytest
import yaml
from snakemake.utils import validate

from tests.support.studies import ROOT, StudyFolder, jobs_of
from workflow_scripts.timecat.config import reference

# The block `checkpoints` for the release of the paper's authors: an archive, and the runs that the archive contains.
RELEASE = """
checkpoints:
  archive: https://example.org/ckpt_resnet50_sfadamw_imagenet1k_supervised.tar.gz
  path: checkpoints_{step_name}/checkpoint_run{run}.pth
  step_names: {450000: full, 200000: 200k, 100000: 100k, 80000: 80k}
  runs: {450000: [0, 1, 2, 3, 4], 200000: [0, 1], 100000: [0, 1, 2, 3], 80000: [0, 1, 2, 3, 4]}
"""
ARMS = [
    {"name": name, "members": members, "steps": steps}
    for name, members, steps in [("cat1", 1, 450000), ("cat2", 2, 200000), ("cat4", 4, 100000), ("cat5", 5, 80000)]
]
CHECKPOINTS = 5 + 2 + 4 + 5  # by arm; the release has one replicate of cat2


def of_the_authors(values, checkpoints: str):
    """Change the tiny study to the paper's arms, backbone and seeds.

    checkpoints: block `checkpoints` of the config, in YAML.
    """
    values["backbones"] = {"resnet50": {"architecture": "resnet50"}}
    values["backbone"] = "resnet50"
    values["pretrain"]["seeds"] = [2, 550, 23, 477, 8529]
    values["arms"] = ARMS
    values.update(yaml.safe_load(checkpoints))


@pytest.fixture
def fresh(tmp_path) -> StudyFolder:
    return StudyFolder.fresh(tmp_path / "study")


def jobs_after_import(checkpoints: int) -> dict[str, int]:
    """Return the numbers of jobs by rule for a number of imported checkpoints, without downloads."""
    return {
        "write_dataset": 2,
        "import_checkpoint": checkpoints,
        "extract_features": checkpoints,
        "probe": len(ARMS),
        "tabulate": 1,
    }


def test_the_authors_release_needs_one_download_and_no_pretraining(fresh):
    fresh.change_config(lambda values: of_the_authors(values, RELEASE))
    done = fresh.snakemake("-n")
    assert jobs_of(done) == {"download": 1, **jobs_after_import(CHECKPOINTS)}
    (url,) = set(re.findall(r"https://\S+", fresh.snakemake("-n", "-p", "--", "results/table2.csv").stdout))
    assert url == "https://example.org/ckpt_resnet50_sfadamw_imagenet1k_supervised.tar.gz"


def test_a_url_per_checkpoint_gives_a_download_per_checkpoint(fresh):
    block = "checkpoints: {path: 'https://example.org/{step}/run{run}.pth', runs: {200000: [0, 1]}}"
    fresh.change_config(lambda values: of_the_authors(values, block))
    assert jobs_of(fresh.snakemake("-n")) == {"download": CHECKPOINTS, **jobs_after_import(CHECKPOINTS)}


def test_local_files_need_no_download(fresh):
    """Existing files show which runs there are."""
    for run in range(5):
        (fresh.path / f"w{run}").mkdir()
        for step in (450000, 100000, 80000) if run > 1 else (450000, 200000, 100000, 80000):
            (fresh.path / f"w{run}/{step}").write_bytes(b"")
    fresh.change_config(lambda values: of_the_authors(values, "checkpoints: {path: 'w{run}/{step}'}"))
    assert jobs_of(fresh.snakemake("-n")) == jobs_after_import(CHECKPOINTS)


def test_a_missing_file_is_refused_before_any_job(fresh):
    fresh.change_config(lambda values: of_the_authors(values, "checkpoints: {path: 'w{run}/{step}'}"))
    done = fresh.snakemake("-n", check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in output and jobs_of(done) == {}
    assert (
        "`arms`: 'cat1' needs 1 checkpoints at step 450000, but of the 5 seeds' checkpoints, none exist: "
        "no file w0/450000" in output
    )


def test_snakemake_lint_accepts_a_study_of_published_weights(fresh):
    fresh.change_config(lambda values: of_the_authors(values, RELEASE))
    fresh.snakemake("--lint")


def test_the_schema_accepts_the_block():
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    of_the_authors(values, RELEASE)
    validate(values, str(reference.SCHEMA), set_default=False)


def test_the_release_only_needs_an_uncommented_block(fresh):
    """The block `checkpoints` of config/paper.yaml is a comment.

    If it names local files, this test makes them.
    """
    names = {"full": 5, "200": 2, "100": 4, "80": 5}
    folder = fresh.path / "checkpoints/supervised_pretrain/resnet50_sfadamw"
    for name, runs in names.items():
        (folder / f"checkpoints_step{name}").mkdir(parents=True)
        for run in range(runs):
            (folder / f"checkpoints_step{name}/checkpoint_run{run}.pth.tar").write_bytes(b"")
    paper = fresh.path / "config/paper.yaml"
    text = paper.read_text()
    block = re.search(r"^# checkpoints:\n(?:#   .*\n)+", text, re.MULTILINE)[0]
    paper.write_text(text.replace(block, re.sub("^# ", "", block, flags=re.MULTILINE)))
    jobs = jobs_of(fresh.snakemake("-n", config="config/paper.yaml"))
    assert jobs.pop("download", 1) == 1
    assert jobs == {
        "write_dataset": 2 * 4,
        "import_checkpoint": CHECKPOINTS,
        "initialise": 5 + 1,  # floors: five untrained seeds, and the projection
        "extract_features": 4 * CHECKPOINTS + 3 * (5 + 1),
        "probe": 4 * 4 + 3 * (4 + 1),
        "tabulate": 1,
    }
