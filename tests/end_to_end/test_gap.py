"""Run the table of gaps: some arms are pretrained on a mixture, others are trained on one of its parts only."""

import csv
import io

import pyarrow.parquet as pq
import pytest

from tests.support.studies import StudyFolder


def with_gap(values: dict) -> None:
    mixture = {"kind": "cues", "components": 2, "rows": {"train": 240, "evaluation": 120}}
    parts = {f"part{n}": {"kind": "part", "of": "mixture", "where": {"component": [n]}} for n in (0, 1)}
    values["data_sets"] |= {"mixture": mixture, **parts}
    values["gap"] = {
        "source": "mixture",
        "targets": ["part0", "part1"],
        "seeds": [2, 550],
        "metric": "mcc",
        "arms": [
            {"name": "mixed", "members": 1, "steps": 2},
            {"name": "alone", "members": 1, "transfer": "direct"},
        ],
    }
    values["direct"] = {"epochs": 1, "lr_milestones": [1]}
    values["floors"] = None


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory) -> tuple[StudyFolder, dict[str, int], bytes]:
    """Return (tiny study with a table of gaps, numbers of new jobs by rule, earlier bytes of table 2)."""
    study = finished.copy(tmp_path_factory.mktemp("gap") / "study")
    table2 = study.read("results/table2.csv")
    study.change_config(with_gap)
    return study, study.run("--", "results/gap.csv"), table2


def test_the_table_of_gaps_runs_the_expected_jobs(made):
    """Networks are pretrained on the mixture, and features are of its parts; table 2 does not change."""
    study, jobs, table2 = made
    assert jobs == {
        "write_dataset": 2 + 4,
        "pretrain": 2,
        "extract_features": 4,
        "probe": 2,
        "transfer": 2,
        "tabulate_gap": 1,
    }
    assert (study.path / "results/checkpoints/mixture/residual4/seed550/step2.safetensors").exists()
    assert study.run() == {} and study.read("results/table2.csv") == table2
    assert study.run("--", "results/gap.csv") == {}


def test_each_row_of_the_mixture_is_in_one_part(made):
    study, *_ = made

    def sources(name: str, split: str) -> list[str]:
        return pq.read_table(study.path / f"results/data_sets/{name}/{split}.index.parquet")["source"].to_pylist()

    for split in ("train", "evaluation"):
        both = sources("part0", split) + sources("part1", split)
        assert sorted(both) == sorted(sources("mixture", split)) and sources("part0", split)


def test_the_table_compares_each_arm_with_direct_training(made):
    study, *_ = made
    lines = list(csv.DictReader(io.StringIO(study.read("results/gap.csv").decode())))
    found = {(line["method"], line["component"]) for line in lines}
    assert found == {(arm, part) for arm in ("mixed", "alone") for part in ("part0", "part1", "mean")}
    for line in lines:
        assert line["replicates"] == "2" and (line["minus_direct"] == "") == (line["method"] == "alone")
        if line["minus_direct"]:
            if line["minus_direct_low"]:
                assert (
                    float(line["minus_direct_low"]) <= float(line["minus_direct"]) <= float(line["minus_direct_high"])
                )
            (direct,) = (
                other
                for other in lines
                if (other["method"], other["component"], other["selection"])
                == ("alone", line["component"], line["selection"])
            )
            assert float(line["minus_direct"]) == pytest.approx(float(line["mcc"]) - float(direct["mcc"]), abs=0.002)
    assert "Matthews" in study.read("results/gap.md").decode()
    contrasts = list(csv.DictReader(io.StringIO(study.read("results/gap.contrasts.csv").decode())))
    assert {(line["kind"], line["arm"], line["baseline"]) for line in contrasts} == {("gain", "mixed", "alone")}
    assert {line["seeds"] for line in contrasts} == {"2"}


def with_own(values: dict) -> None:
    values["gap"]["arms"].append({"name": "own", "members": 1, "steps": 2, "pretrained_on": "target"})


def test_an_arm_pretrained_on_each_part_adds_its_jobs(made, tmp_path):
    """The jobs of the existing arms do not rerun."""
    study, *_ = made
    study = study.copy(tmp_path / "study")
    before, checkpoints = study.read("results/gap.csv").decode(), study.checkpoints()
    study.change_config(with_own)
    # Two seeds on each of two parts.
    assert study.run("--", "results/gap.csv") == {"pretrain": 4, "extract_features": 4, "probe": 2, "tabulate_gap": 1}
    assert checkpoints.items() <= study.checkpoints().items()
    after = study.read("results/gap.csv").decode().splitlines()
    assert set(before.splitlines()) <= set(after), "the lines of other arms do not change"
    assert sum(line.startswith("own,probe,1,2,2,") for line in after) == 6
    assert pq.read_table(study.path / "results/probes/part1/part1/own.parquet")["members"].to_pylist()[0] == [2]
    assert (study.path / "results/checkpoints/part1/residual4/seed550/step2.safetensors").exists()
    assert "own: pretrained on each target itself" in study.read("results/gap.md").decode().replace("*", "")

    study.change_config(lambda values: values.update(floors={"projection": 16}))
    # Two untrained networks with statistics of the mixture and two of each part, and the projection.
    assert study.run("--", "results/gap.csv") == {
        "initialise": 3 * 2 + 1,
        "extract_features": 2 * 2 + 2 * 2 + 2,
        "probe": 2 * 3,
        "tabulate_gap": 1,
    }
    lines = list(csv.DictReader(io.StringIO(study.read("results/gap.csv").decode())))
    for line in lines:
        assert (line["floor"] == "") == (line["method"] == "alone") and line["projection"] and line["ceiling"]
    assert study.run("-n", "--", "results/gap.csv") == {}
