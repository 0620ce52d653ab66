"""A table of gaps for real: parts of a mixture, an arm that is pretrained on it, and one that is trained on a part alone."""

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


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory) -> tuple[StudyFolder, dict[str, int], bytes]:
    """The finished tiny study with a table of gaps, what ran for it, and the table 2 from before."""
    study = finished.copy(tmp_path_factory.mktemp("gap") / "study")
    table2 = study.read("results/table2.csv")
    study.change_config(with_gap)
    return study, study.run("--", "results/gap.csv"), table2


def test_what_is_made(made):
    """Checkpoints of the mixture, features of its parts; table 2 does not notice."""
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


def test_the_parts_divide_the_mixture(made):
    study, *_ = made

    def sources(name: str, split: str) -> list[str]:
        return pq.read_table(study.path / f"results/data_sets/{name}/{split}.index.parquet")["source"].to_pylist()

    for split in ("train", "evaluation"):
        both = sources("part0", split) + sources("part1", split)
        assert sorted(both) == sorted(sources("mixture", split)) and sources("part0", split)


def test_the_table(made):
    study, *_ = made
    lines = list(csv.DictReader(io.StringIO(study.read("results/gap.csv").decode())))
    found = {(line["method"], line["component"]) for line in lines}
    assert found == {(arm, part) for arm in ("mixed", "alone") for part in ("part0", "part1", "mean")}
    for line in lines:
        assert line["replicates"] == "2" and (line["gap"] == "") == (line["method"] == "alone")
        if line["gap"]:
            assert float(line["gap_low"]) <= float(line["gap"]) <= float(line["gap_high"])
            (direct,) = (
                other
                for other in lines
                if (other["method"], other["component"], other["selection"])
                == ("alone", line["component"], line["selection"])
            )
            assert float(line["gap"]) == pytest.approx(float(direct["mcc"]) - float(line["mcc"]), abs=0.002)
    assert "Matthews" in study.read("results/gap.md").decode()
