"""``make keep`` takes over exactly the results of earlier code that are whole and belong to this config, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
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
    import pyarrow as pa
    import pyarrow.parquet as pq

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


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (flip_a_feature, "extract_features", "is not what its sidecar records"),
        (roll_labels, "write_dataset", "is not what its sidecar records"),
        (flip_a_byte_of("results/checkpoints/*/*/seed2/step12.safetensors"), "pretrain", "step12.safetensors"),
        (
            flip_a_byte_of("results/checkpoints/*/*/seed2/step12.state.pt"),
            "pretrain",
            "is not what its sidecar records",
        ),
        (flip_a_byte_of("results/probes/*/*/cat3.predictions.parquet"), "probe", "cat3.predictions.parquet"),
        (flip_a_byte_of("results/probes/*/*/cat3.heads.safetensors"), "probe", "cat3.heads.safetensors"),
        (swap_seeds, "extract_features", "was made from another version of weights"),
    ],
)
def test_a_result_that_is_not_whole_runs_again(study, change, rule, said):
    change(study)
    reasons = {reason for reason in decisions(study).values() if said in reason}
    assert reasons, decisions(study)
    keep(study, "--apply")
    left = rules_left(study)
    assert rule in left and "tabulate" in left


def test_results_with_other_settings_run_again(study):
    study.change_config(lambda values: values["probe"].update(epochs=3))
    found = decisions(study)
    assert {path.split("/")[1] for path, reason in found.items() if "other settings" in reason} == {"probes"}
    keep(study, "--apply")
    assert rules_left(study) == {"probe", "tabulate"}


def test_a_rule_that_is_named_runs_again_and_what_needs_it(study):
    keep(study, "--apply", "--except", "extract_features")
    assert rules_left(study) == {"extract_features", "probe", "tabulate"}
    refused = keep(study, "--except", "extract", check=False)
    assert refused.returncode and "--except extract: no such rule" in refused.stderr


def test_results_without_records_are_not_kept(study):
    (study.path / ".snakemake").rename(study.path / "records")
    assert {reason.partition(" of ")[0] for reason in decisions(study).values()} >= {"Snakemake has no record"}


def test_a_missing_sidecar_of_an_input_is_noticed(study):
    path = study.path / f"{FEATURES}.json"
    sidecar = json.loads(path.read_text())
    sidecar["inputs"]["weights"] = "0" * 64
    path.write_text(json.dumps(sidecar))
    assert any("another version of weights" in reason for reason in decisions(study).values())
