"""Run deep feature reweighting and the table of worst groups on a few small images."""

import csv
import io

import pyarrow.parquet as pq


def with_shortcut(values: dict) -> None:
    values["data_sets"]["biased"] = {"kind": "shortcut", "rows": {"train": 300, "evaluation": 120}, "views": ["center"]}
    even = {"kind": "part", "of": "biased", "balanced_by": ["class_name", "place"], "views": ["center"]}
    values["data_sets"]["even"] = even
    arm = {"members": 1, "steps": 2, "seeds": [2]}
    values["spurious"] = {
        "source": "biased",
        "targets": ["even"],
        "arms": [arm | {"name": "probed"}, arm | {"name": "reweighted", "transfer": "reweight"}],
    }
    values["reweight"] = {"c": [1.0, 0.1], "resamples": 2}
    values["floors"] = None


def test_the_table_of_worst_groups_has_reweighted_and_probed_arms(finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    study.change_config(with_shortcut)
    jobs = study.run("--", "results/spurious.csv")
    assert jobs == {
        "write_dataset": 4,
        "pretrain": 1,
        "extract_features": 1,
        "probe": 1,
        "reweight": 1,
        "tabulate_spurious": 1,
    }
    lines = {
        (line["method"], line["selection"]): line
        for line in csv.DictReader(io.StringIO(study.read("results/spurious.csv").decode()))
    }
    assert len(lines) == 4
    for line in lines.values():
        assert 0 <= float(line["worst_group"]) <= float(line["average"]) <= 100 and line["replicates"] == "1"
    contrasts = list(csv.DictReader(io.StringIO(study.read("results/spurious.contrasts.csv").decode())))
    places = {(line["arm"], line["baseline"], line["data_set"], line["no_interval_because"]) for line in contrasts}
    assert places == {
        ("reweighted", "probed", f"even.{quantity}", "one replicate") for quantity in ("average", "worst_group")
    }
    metrics = pq.read_table(study.path / "results/reweightings/biased/even/reweighted.parquet").to_pylist()
    assert [row["selection"] for row in metrics] == ["paper", "holdout"]
    assert float(lines["reweighted", "holdout"]["average"]) == round(metrics[0]["top1"], 3)
    assert study.run("--", "results/spurious.csv") == {}
    study.change_config(lambda values: values["reweight"].update(seed=1))
    assert study.run("--", "results/spurious.csv") == {"reweight": 1, "tabulate_spurious": 1}
    before = study.read("results/spurious.csv").decode().splitlines()
    study.change_config(lambda values: values.update(floors={"projection": None}))
    jobs = study.run("--", "results/spurious.csv")
    assert jobs == {"initialise": 1, "extract_features": 1, "probe": 1, "reweight": 1, "tabulate_spurious": 1}
    after = list(csv.DictReader(io.StringIO(study.read("results/spurious.csv").decode())))
    own = before[0].split(",")
    assert [",".join(line[key] for key in own) for line in after] == before[1:], "floors do not change other columns"
    assert all(line["worst_group_floor"] and line["average_floor"] for line in after)
