"""Run a study with floors and a ceiling: they add jobs and columns, and do not change other results."""

import csv
import io

import pyarrow.parquet as pq

from workflow_scripts.timecat.artifacts.sidecars import read_sidecar


def with_target(values: dict) -> None:
    """Add a second target to a config without floors."""
    values["data_sets"]["other"] = {"kind": "cues", "label": "cue0", "rows": {"train": 200, "evaluation": 100}}
    values["targets"].append("other")
    values["floors"] = None


def with_floors(values: dict) -> None:
    values["floors"] = {"projection": 16}
    values["ceiling"] = {"known": {"other": 90.0}}


def table(study) -> list[dict]:
    """Return the rows of table 2."""
    return list(csv.DictReader(io.StringIO(study.read("results/table2.csv").decode())))


def test_floors_add_untrained_networks(study):
    """Pretraining does not rerun, and existing columns of the table do not change."""
    study.change_config(with_target)
    assert study.run() == {"write_dataset": 2, "extract_features": 4, "probe": 2, "tabulate": 1}
    before = table(study)

    study.change_config(with_floors)
    # Three untrained networks and the projection, on the target only; a floor for each arm, and the projection's probe.
    assert study.run() == {"initialise": 4, "extract_features": 4, "probe": 3, "tabulate": 1}
    assert study.run("-n") == {}

    lines = table(study)
    assert all(old.items() <= line.items() for line, old in zip(lines, before, strict=True))
    for line in lines:
        assert 0 <= float(line["other_floor"]) <= 100 and 0 <= float(line["other_projection"]) <= 100
        assert line["other_ceiling"] == "90.00" and line["other_verdict"] in (
            "unknown",
            "informative",
            "undecided",
            "uninformative",
        )
        assert "cues_tiny_floor" not in line, "the source has no floor"
    assert "(floor " in study.read("results/table2.md").decode()
    kinds = {line["kind"] for line in csv.DictReader(io.StringIO(study.read("results/table2.contrasts.csv").decode()))}
    assert kinds == {"gain", "floor", "floor_gain", "excess"}

    weights = study.path / "results/checkpoints/cues_tiny/residual4/seed2/step0.safetensors"
    assert read_sidecar(weights)["facts"]["step"] == 0
    (floor,) = (study.path / "results/probes/cues_tiny/other").glob("untrained.residual4.x3.*[0-9a-f].parquet")
    assert pq.read_table(floor, columns=["members"])["members"].to_pylist()[0] == [2, 550, 23]
