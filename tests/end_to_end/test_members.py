"""Run the diagnostics of members, and a data set for evaluation only, on the finished tiny study."""

import csv
import io

import numpy as np
import pyarrow.parquet as pq

from tests.support.images import read_split
from tests.support.studies import StudyFolder
from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.images import writing
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.images.ffcv.writer import write_beton

DIAGNOSED = {"diagnose": 1, "tabulate_diagnostics": 1}


def lines(study: StudyFolder, file: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(study.read(f"results/{file}").decode())))


def test_diagnostics_agree_with_table_2(study):
    """The diagnostics do not rerun jobs of table 2."""
    assert study.run("--", "results/diagnostics.csv") == DIAGNOSED
    (row,) = [line for line in lines(study, "table2.csv") if line["method"] == "cat3"]
    found = {(line["selection"], line["quantity"]): line for line in lines(study, "diagnostics.csv")}
    assert found["paper", "accuracy"]["mean"] == row["cues_tiny"]
    assert found["holdout", "accuracy"]["mean"] == row["cues_tiny_holdout"]
    assert 0 < float(found["", "cka"]["least"]) < float(found["", "cka"]["most"]) < 1
    assert study.read("results/diagnostics.svg").startswith(b"<?xml")
    before = study.read("results/diagnostics.svg"), study.read("results/diagnostics.csv")
    study.append("workflow_scripts/timecat/measures/cka.py", "\n# edited\n")
    assert study.run() == {}
    assert study.run("--", "results/diagnostics.csv") == DIAGNOSED
    assert (study.read("results/diagnostics.svg"), study.read("results/diagnostics.csv")) == before


def write_evaluation_only(study: StudyFolder, name: str, classes: list[int]) -> Split:
    """Write new images of some classes of cues_tiny as a data set that has only an evaluation split.

    The function returns the split.
    """
    settings = {
        "kind": "cues",
        "seed": 1,
        "rows": {"evaluation": 300},
        "agreement": 0.9,
        "components": None,
        "label": "class",
    }
    everything = read_split(settings, "evaluation")
    rows = np.flatnonzero(np.isin(everything.labels, classes))
    sources = [everything.sources[row] for row in rows]
    split = Split(everything.images[rows], everything.labels[rows], everything.class_names, sources)
    folder = study.path / "results/data_sets" / name
    folder.mkdir()
    beton = folder / "evaluation.beton"
    write_beton(beton, split, {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90})
    content = writing.write_index(folder / "evaluation.index.parquet", split)
    write_sidecar(beton, content, {}, {}, {"data_set": name, "rows": len(split), "classes": len(split.class_names)})
    return split


def test_a_data_set_for_evaluation_only_gets_a_column(study):
    """The test writes the files of the data set itself, in the format of the stage write_dataset."""

    def table():
        return list(csv.DictReader(io.StringIO(study.read("results/table2.csv").decode())))

    before = table()

    def change(values):
        values["data_sets"]["other"] = {"kind": "evaluation_folder", "root": "other", "probe_of": "cues_tiny"}
        values["targets"].append("other")

    study.change_config(change)
    classes = [2, 3, 5, 7, 11]
    split = write_evaluation_only(study, "other", classes)
    allowed = ("--allowed-rules", "all", "extract_features", "evaluate_probe", "tabulate", "--", "results/table2.csv")
    assert study.run(*allowed) == {"extract_features": 4, "evaluate_probe": 2, "tabulate": 1}
    assert study.run(*allowed) == {}
    features = study.path / "results/features/cues_tiny/residual4/seed2/step12/other"
    assert [path.name for path in features.glob("*.npy")] == ["evaluation.center.npy"]

    after = table()
    assert len(after) == len(before) == 2
    assert all(old.items() <= line.items() for line, old in zip(after, before))
    assert {"other", "other_std", "other_holdout", "other_holdout_std"} <= after[0].keys() - before[0].keys()
    predictions = pq.read_table(study.path / "results/evaluations/cues_tiny/other/cat3.predictions.parquet").to_pylist()
    own = [line for line in predictions if line["selection"] == "paper"]
    assert [line["label"] for line in own] == split.labels.tolist()
    assert {line["predicted"] for line in own} <= set(classes)
    top1 = 100 * np.mean([line["label"] == line["predicted"] for line in own])
    assert lines(study, "table2.csv")[1]["other"] == f"{top1:.2f}"
    assert b"masked to the classes that occur" in study.read("results/table2.md")
