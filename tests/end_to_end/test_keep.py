"""``make keep`` takes over exactly the results of earlier code that are whole and belong to this config, and nothing else."""

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.studies import TINY, StudyFolder

COMMENT = "\n# Another version.\n"
FEATURES = "results/features/cues_tiny/residual4/seed2/step12/cues_tiny"


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory) -> StudyFolder:
    """The tiny study, made by one version of the code; then every stage has new code."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("keep") / "study")
    study.run()
    study.append("workflow_scripts/timecat/artifacts/files.py", COMMENT)
    return study


@pytest.fixture
def study(upgraded, tmp_path) -> StudyFolder:
    return upgraded.copy(tmp_path / "study")


def keep(study: StudyFolder, *options: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run the command on table 2 of the tiny study."""
    command = [sys.executable, "-m", "workflow_scripts.keep", "--configfile", TINY, "results/table2.csv", *options]
    return subprocess.run(command, cwd=study.path, env=study.environment(), check=check, capture_output=True, text=True)


def decisions(study: StudyFolder, *options: str) -> dict[str, str]:
    """Return the reason why each file is made again, "" for those that are kept."""
    keep(study, *options, "--list", "decisions.tsv")
    rows = [line.split("\t") for line in study.read("decisions.tsv").decode().splitlines()[1:]]
    return {path: reason for path, _, reason in rows}


def rules_left(study: StudyFolder) -> set[str]:
    """Return the rules that Snakemake would run."""
    return set(study.run("-n", "--", "results/table2.csv"))


def test_all_but_tables_is_kept_after_a_change_of_code(study):
    assert {"write_dataset", "pretrain", "extract_features", "probe", "tabulate"} <= rules_left(study)
    before = {
        path: study.read(path) for path in decisions(study) if not path.endswith(".npy") and "features" not in path
    }
    listed = keep(study).stdout
    assert "Nothing was changed" in listed and "pretrain" in listed
    assert {"pretrain", "probe"} <= rules_left(study)  # listing changes nothing
    keep(study, "--apply")
    assert rules_left(study) == {"tabulate"}
    assert {path: study.read(path) for path in before} == before


def flip_a_feature(study: StudyFolder) -> None:
    path = study.path / FEATURES / "train.view0.npy"
    features = np.load(path)
    features[0, 0] += 1
    np.save(path, features)


def flip_a_byte_of(name: str) -> Callable[[StudyFolder], None]:
    def flip(study: StudyFolder) -> None:
        (path,) = study.path.glob(name)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return flip


def roll_labels(study: StudyFolder) -> None:
    """Another index, which the digest of its data set covers."""
    path = study.path / "results/data_sets/cues_tiny/train.index.parquet"
    table = pq.read_table(path)
    labels = table["label"].to_pylist()
    place = table.column_names.index("label")
    pq.write_table(table.set_column(place, "label", pa.array(labels[1:] + labels[:1])), path)


def swap_seeds(study: StudyFolder) -> None:
    """The features of two seeds, each whole by itself, in one another's place."""
    folders = [Path(str(study.path / FEATURES).replace("seed2", seed)) for seed in ("seed2", "seed23")]
    folders = [
        folder.parent.parent / step / "cues_tiny" for folder, step in zip(folders, ("step4", "step4"), strict=True)
    ]
    for suffix in ("", ".json"):
        one, two = (Path(f"{folder}{suffix}") for folder in folders)
        aside = one.with_name("aside")
        one.rename(aside)
        two.rename(one)
        aside.rename(two)


def raise_a_metric(study: StudyFolder) -> None:
    """Change the accuracies that tables read; no sidecar covers them, but the table's record has their checksum."""
    path = study.path / "results/probes/cues_tiny/cues_tiny/cat3.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("top1")
    pq.write_table(table.set_column(place, "top1", pa.array([one + 30 for one in table["top1"].to_pylist()])), path)


def cut_a_sidecar(study: StudyFolder) -> None:
    path = study.path / f"{FEATURES}.json"
    path.write_text(path.read_text()[:40])


@pytest.mark.parametrize(
    ("change", "rule", "kept", "said"),
    [
        (flip_a_feature, "extract_features", 10, "is not what its sidecar records"),
        (roll_labels, "write_dataset", 1, "is not what its sidecar records"),
        (flip_a_byte_of("results/checkpoints/*/*/seed2/step12.safetensors"), "pretrain", 9, "step12.safetensors"),
        (flip_a_byte_of("results/checkpoints/*/*/seed2/step12.state.pt"), "pretrain", 9, "is not what its sidecar"),
        (flip_a_byte_of("results/probes/*/*/cat3.predictions.parquet"), "probe", 11, "cat3.predictions.parquet"),
        (flip_a_byte_of("results/probes/*/*/cat3.heads.safetensors"), "probe", 11, "cat3.heads.safetensors"),
        (raise_a_metric, "probe", 11, "cat3.parquet has changed since it was read"),
        (cut_a_sidecar, "extract_features", 10, "or of one of its inputs cannot be read"),
        (swap_seeds, "extract_features", 9, "was made from another weights"),
    ],
)
def test_a_damaged_result_runs_again_and_no_other(study, change, rule, kept, said):
    """The job with the damaged file and the jobs that need it run again; the number of the others is stated."""
    change(study)
    found = keep(study, "--apply").stdout
    assert said in found and f"{kept} of 13 jobs are kept" in found, found
    assert rule in rules_left(study) and "tabulate" in rules_left(study)


def test_results_with_other_settings_run_again(study):
    study.change_config(lambda values: values["probe"].update(epochs=3))
    found = decisions(study)
    assert {path.split("/")[1] for path, reason in found.items() if "other settings" in reason} == {"probes"}
    keep(study, "--apply")
    assert rules_left(study) == {"probe", "tabulate"}


def test_an_interrupted_job_is_not_kept(study):
    """Snakemake marks the outputs of a job until it ends; a complete file may be of other settings than its record."""
    folder = study.path / ".snakemake/incomplete"
    folder.mkdir(exist_ok=True)
    name = base64.b64encode(b"results/probes/cues_tiny/cues_tiny/cat3.heads.safetensors").decode()
    (folder / name).touch()
    assert "its job was interrupted" in keep(study, "--apply").stdout
    assert rules_left(study) == {"probe", "tabulate"}


def test_a_rule_that_is_named_runs_again_with_the_printed_options(study):
    said = keep(study, "--apply", "--except", "extract_features").stdout
    assert rules_left(study) == {"extract_features", "probe", "tabulate"}
    assert said.splitlines()[-1].endswith(f"--configfile {TINY} --forcerun extract_features -- results/table2.csv")
    refused = keep(study, "--except", "extract", check=False)
    assert refused.returncode and "--except extract: no such rule" in refused.stderr


def test_a_damaged_result_runs_again_without_a_change_of_code(upgraded, tmp_path):
    """Snakemake alone would not notice it, so the printed command names it."""
    study = upgraded.copy(tmp_path / "study")
    keep(study, "--apply")
    study.run("--", "results/table2.csv")
    assert rules_left(study) == set()
    flip_a_feature(study)
    command = keep(study, "--apply").stdout.splitlines()[-1].split()
    assert rules_left(study) == set()
    forced = command[command.index("--forcerun") + 1]
    assert forced == FEATURES
    assert set(study.run("-n", "--forcerun", forced, "--", "results/table2.csv")) >= {"extract_features", "probe"}


@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (
            lambda study: (study.path / ".snakemake").rename(study.path / "records"),
            [],
            "nothing is known of the results",
        ),
        (lambda study: lock(study), [], "snakemake --unlock"),
        (lambda study: None, ["--list", "nowhere/x.tsv"], "--list: there is no folder nowhere"),
        (lambda study: (study.path / TINY).unlink(), [], f"there is no file {TINY}"),
        (lambda study: study.edit(TINY, "members: 3", "members: three"), [], "members"),
    ],
)
def test_a_mistake_is_a_message_without_a_traceback(study, spoil, options, said):
    spoil(study)
    done = keep(study, *options, check=False)
    assert done.returncode and said in done.stderr and "Traceback" not in done.stderr


def lock(study: StudyFolder) -> None:
    """Leave the lock of a Snakemake that was killed."""
    folder = study.path / ".snakemake/locks"
    folder.mkdir(exist_ok=True)
    (folder / "0.input.lock").write_text("results/x\n")
