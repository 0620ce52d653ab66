"""Run the table of sequences on FASTA files in the benchmark's layout, with a pretrained and a direct arm."""

import csv
import io

import pyarrow.parquet as pq
import pytest
import yaml

from tests.support.images import read_split
from tests.support.studies import StudyFolder, jobs_of

CONFIG = "config/dna.yaml"
WANTED = "results/genomics.csv"
STUDY = """
source: benchmark
targets: [single]
backbone: small
data_sets:
  benchmark: {kind: sequences, root: data, length: 60, train: ["*/train.fna"], evaluation: ["*/test.fna"]}
  single: {kind: part, of: benchmark, where: {task: [single]}}
backbones:
  small: {architecture: sequence_residual, width: 4, blocks: 1}
pretrain: {seeds: [2, 550], batch_size: 64, batch_norm_batches: 2}
arms:
  - {name: cat1, members: 1, steps: 6, seeds: [2]}
genomics:
  metric: mcc
  arms:
    - cat1
    - {name: alone, members: 1, transfer: direct, seeds: [2]}
probe: {epochs: 2, lr_milestones: [1], weight_decays: [0.001]}
direct: {epochs: 2, lr_milestones: [1]}
"""


def write_fasta(folder) -> None:
    """Write TASK/train.fna and TASK/test.fna with synthetic sequences for two tasks."""
    for split, file, rows in (("train", "train.fna", 240), ("evaluation", "test.fna", 90)):
        made = read_split({"kind": "motifs", "seed": 1, "rows": {split: rows}, "length": 60}, split)
        for task in ("single", "spaced"):
            path = folder / "data" / task / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                "".join(
                    f">{row}|{label % 2}\n{made.images.sequences[row]}\n"
                    for row, label in enumerate(made.labels)
                    if made.groups["task"][row] == task
                )
            )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[StudyFolder, dict[str, int]]:
    """Return (study of sequences whose table is finished, numbers of its jobs by rule)."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("sequences") / "study")
    write_fasta(study.path)
    (study.path / CONFIG).write_text(yaml.safe_dump(yaml.safe_load(STUDY)))
    return study, study.run("--", WANTED, config=CONFIG)


def test_the_table_runs_the_expected_jobs_once(made):
    study, jobs = made
    assert jobs == {
        "write_dataset": 4,
        "pretrain": 1,
        "initialise": 1,
        "extract_features": 2,
        "probe": 2,
        "transfer": 1,
        "tabulate_gap": 1,
    }
    assert study.run("--", WANTED, config=CONFIG) == {}
    lines = list(csv.DictReader(io.StringIO(study.read(WANTED).decode())))
    assert {"cat1", "alone"} <= {line["method"] for line in lines}
    floors = {line["method"]: (line["floor"], line["projection"]) for line in lines}
    assert floors["cat1"][0] and floors["cat1"][1] == "" == floors["alone"][0], "sequences have no pixels"
    assert study.read("results/genomics.svg").startswith(b"<?xml")


def test_labels_of_a_part_are_numbered_within_its_task(made):
    study, _ = made
    whole, part = (
        pq.read_table(study.path / f"results/data_sets/{name}/evaluation.index.parquet").to_pydict()
        for name in ("benchmark", "single")
    )
    assert sorted(set(whole["class_name"])) == ["single:0", "single:1", "spaced:0", "spaced:1"]
    assert len(part["row"]) == 30 and set(part["label"]) == {0, 1} and set(part["task"]) == {"single"}
    assert part["source"][0] == "single/test.fna, line 1"


def test_changed_evaluation_files_rewrite_evaluation_rows_only(made):
    """The training rows are not written again."""
    study, _ = made
    study.edit(CONFIG, "- '*/test.fna'", "- 'single/test.fna'\n    - 'spaced/test.fna'")
    jobs = jobs_of(study.snakemake("-n", "--", WANTED, config=CONFIG))
    assert jobs["write_dataset"] == 2
