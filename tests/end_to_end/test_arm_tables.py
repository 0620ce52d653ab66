"""Run table 1, controls, families and grid of the tiny study: copies, snapshots, other backbones, a changed recipe."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.studies import StudyFolder
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar

TABLES = ("results/table1.csv", "results/controls.csv", "results/families.csv", "results/grid.csv")


def with_tables(values: dict) -> None:
    """Add tables with arms of every kind to the tiny study; their numbers of steps already occur in it."""
    values["backbones"]["wide"] = {"architecture": "small_residual", "width": 8, "blocks": 2}
    values["backbones"]["plain"] = values["backbones"]["residual4"] | {"pretrain": {"label_smoothing": 0.0}}
    values["backbones"]["vit"] = {"architecture": "small_vit", "patch": 7, "width": 8, "depth": 1, "heads": 2}
    values["backbones"]["regnet"] = {
        "architecture": "small_regnet",
        "stem": 8,
        "widths": [8],
        "depths": [1],
        "group_width": 4,
    }
    one = {"members": 1, "steps": 4, "seeds": [2]}
    two = {"members": 2, "steps": 4, "seeds": [2, 550]}
    values["table1"] = {"arms": ["cat3", one | {"name": "wide", "backbone": "wide", "published": {"cues_tiny": 12.5}}]}
    values["controls"] = {
        "arms": [
            "cat1",
            {"name": "copies", "members": 2, "steps": 4, "one_seed": True},
            {"name": "snapshots", "members": 2, "steps": [4, 12], "one_seed": True, "seeds": [2]},
            one | {"name": "plain", "backbone": "plain"},
            {"name": "converged", "members": 1, "steps": 12, "replicates": [[2]], "solver": "lbfgs"},  # cat1 has sgd
        ]
    }
    values["families"] = {
        "arms": ["cat1", two | {"name": "vit_cat2", "backbone": "vit"}, one | {"name": "regnet", "backbone": "regnet"}]
    }
    values["grid"] = {"members": [1, 3], "steps": [4]}


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory) -> tuple[StudyFolder, dict[str, int], bytes]:
    """Return (tiny study with further tables, numbers of new jobs by rule, earlier bytes of table 2)."""
    study = finished.copy(tmp_path_factory.mktemp("tables") / "study")
    table2 = study.read("results/table2.csv")
    study.change_config(with_tables)
    return study, study.run("--", *TABLES), table2


def table(study: StudyFolder, name: str) -> dict[str, dict]:
    """Return the rows of a finished table, by the name of their arm."""
    lines = csv.DictReader(io.StringIO(study.read(f"results/{name}.csv").decode()))
    return {line["method"]: line for line in lines}


def test_further_tables_run_only_jobs_of_new_arms(made):
    """The new jobs are for five networks with other backbones, probes of the new arms, and one new cell of the grid."""
    study, jobs, table2 = made
    assert jobs == {"pretrain": 5, "extract_features": 5, "probe": 7 + 1, "tabulate_arms": 3, "tabulate_grid": 1}
    assert study.run() == {} and study.read("results/table2.csv") == table2, "table 2 does not change"
    assert study.run("--", *TABLES) == {}


def test_tables_have_the_arms_budgets_and_accuracies_of_the_config(made):
    study, *_ = made
    table1, controls, grid = (table(study, name) for name in ("table1", "controls", "grid"))
    table2 = table(study, "table2")
    assert list(table1) == ["cat3", "wide"] and list(controls) == [
        *("cat1", "copies", "snapshots", "plain", "converged"),
    ]
    assert table1["wide"]["cues_tiny_published"] == "12.5" and table1["cat3"]["cues_tiny_published"] == ""
    for name, own in (("cat3", table1), ("cat1", controls), ("cat3", grid)):
        assert own[name]["cues_tiny"] == table2[name]["cues_tiny"], "tables share the probe of a shared arm"
    assert int(table1["cat3"]["parameters"]) == 3 * int(controls["cat1"]["parameters"])
    assert (controls["copies"]["replicates"], controls["copies"]["total_steps"]) == ("3", "4")
    assert (controls["snapshots"]["steps_per_member"], controls["snapshots"]["total_steps"]) == ("4 12", "12")
    assert [(line["members"], line["replicates"]) for line in grid.values()] == [("1", "3"), ("3", "1")]
    families = table(study, "families")
    assert list(families) == ["cat1", "vit_cat2", "regnet"]
    assert len({line["parameters"] for line in families.values()}) == 3
    assert families["cat1"]["cues_tiny"] == controls["cat1"]["cues_tiny"]
    assert len({line["cues_tiny"] for line in families.values()}) == 3, "the three arms have different networks"
    for file in ("table1.svg", "controls.svg", "families.svg", "grid.svg"):
        assert study.read(f"results/{file}").startswith(b"<?xml")


def test_a_converged_probe_reports_its_convergence(made):
    """The converged probe reads the same features as the probe that is trained with SGD."""
    study, *_ = made
    controls = table(study, "controls")
    converged, by_sgd = controls["converged"], controls["cat1"]
    assert (converged["cues_tiny_holdout_converged"], by_sgd["cues_tiny_holdout_converged"]) == ("yes", "no")
    assert float(converged["cues_tiny_gradient"]) < 1e-4 < float(by_sgd["cues_tiny_gradient"])
    assert by_sgd["cues_tiny_holdout_from_converged"] != "" == converged["cues_tiny_holdout_from_converged"]
    features = [
        read_sidecar(study.path / f"results/probes/cues_tiny/cues_tiny/{arm}.heads.safetensors")["inputs"]
        for arm in ("cat1", "converged")
    ]
    assert features[0] == features[1]
    assert "Not converged" in study.read("results/controls.md").decode()


def test_copies_share_one_checkpoint(made):
    """Members of `copies` read one checkpoint; members of `snapshots` read two checkpoints of one pretraining run.

    The sidecars of the probes' heads have a digest of each member's features.
    """
    study, *_ = made

    def features_of(arm: str, replicate: int) -> dict[str, str]:
        inputs = read_sidecar(study.path / f"results/probes/cues_tiny/cues_tiny/{arm}.heads.safetensors")["inputs"]
        return {name: value for name, value in inputs.items() if name.startswith(f"{replicate}/") and "view0" in name}

    for replicate, seed in enumerate((2, 550, 23)):
        copies = features_of("copies", replicate)
        assert list(copies) == [f"{replicate}/{seed}.0/train.view0.npy", f"{replicate}/{seed}.1/train.view0.npy"]
        assert len(set(copies.values())) == 1
    assert len({tuple(features_of("copies", replicate).values()) for replicate in range(3)}) == 3
    snapshots = features_of("snapshots", 0)
    assert list(snapshots) == ["0/2.0/train.view0.npy", "0/2.1/train.view0.npy"] and len(set(snapshots.values())) == 2
    assert next(iter(snapshots.values())) == next(iter(features_of("copies", 0).values())), (
        "the first member of both is step 4 of seed 2"
    )
    for arm, members in (("copies", [2, 2]), ("snapshots", [2, 2])):
        metrics = pq.read_table(study.path / f"results/probes/cues_tiny/cues_tiny/{arm}.parquet")
        assert metrics["members"].to_pylist()[0] == members


def test_copies_of_a_feature_have_equal_statistics(made):
    """The heads of `copies` see the same features twice, so the running means of their batch norm repeat."""
    from workflow_scripts.timecat.probing.saved_heads import HeadsFile

    study, *_ = made
    heads = HeadsFile(study.path / "results/probes/cues_tiny/cues_tiny/copies.heads.safetensors")
    mean = heads.head(0, "holdout").running_mean.numpy()
    first, second = np.split(mean, 2)
    assert len(mean) == 16 and np.array_equal(first, second)


def test_each_network_is_trained_with_its_backbone_and_recipe(made):
    study, *_ = made
    of_step = "results/checkpoints/cues_tiny/{}/seed2/step4.safetensors"
    found = {name: read_sidecar(study.path / of_step.format(name))["params"] for name in ("residual4", "wide", "plain")}
    assert found["wide"]["backbone"] == {"architecture": "small_residual", "width": 8, "blocks": 2}
    assert found["wide"]["recipe"] == found["residual4"]["recipe"]
    assert found["plain"]["backbone"] == found["residual4"]["backbone"]
    assert found["plain"]["recipe"] == found["residual4"]["recipe"] | {"label_smoothing": 0.0}
    logs = [
        study.read(f"results/checkpoints/cues_tiny/{name}/seed2/step4.jsonl").decode().splitlines()
        for name in ("residual4", "plain")
    ]
    assert json.loads(logs[0][0])["loss"] != json.loads(logs[1][0])["loss"]
    shape = np.load(study.path / "results/features/cues_tiny/wide/seed2/step4/cues_tiny/evaluation.center.npy").shape
    assert shape == (200, 16)


def test_table_2_accepts_snapshots_and_other_backbones(made, tmp_path):
    """Table 2, metrics.parquet and the diagnostics accept steps that differ between members."""
    study = made[0].copy(tmp_path / "study")

    def change(values):
        values["arms"] += [values["controls"]["arms"].pop(2), values["table1"]["arms"].pop(1)]

    study.change_config(change)
    assert study.run("--", "results/table2.csv", "results/diagnostics.csv") == {
        "tabulate": 1,
        "diagnose": 2,
        "tabulate_diagnostics": 1,
    }
    lines = table(study, "table2")
    assert lines["snapshots"]["steps_per_member"] == "4 12" and lines["wide"]["cues_tiny_published"] == "12.5"
    assert b"snapshots,2,4 12,cues_tiny" in study.read("results/diagnostics.csv")
    steps = pq.read_table(study.path / "results/metrics.parquet", columns=["arm", "steps"]).to_pylist()
    assert {row["steps"] for row in steps if row["arm"] == "snapshots"} == {None}
