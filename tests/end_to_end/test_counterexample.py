"""The counterexample as Snakemake runs it: alone, once, and again when its own settings change."""

import csv
import io

import pytest

from tests.support.studies import StudyFolder

FILES = [f"results/counterexample.{ending}" for ending in ("csv", "svg", "parquet")]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> StudyFolder:
    """A folder in which the counterexample of the tiny study was made."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("counterexample") / "study")
    assert study.run("--", FILES[0]) == {"counterexample": 1}
    return study


def test_it_makes_its_three_files_and_nothing_else(study):
    made = {str(path.relative_to(study.path)) for path in (study.path / "results").rglob("*") if path.is_file()}
    assert made - {"results/README.md"} == {
        *FILES,
        "results/logs/counterexample/counterexample.log",
        "results/benchmarks/counterexample/counterexample.tsv",
    }
    lines = list(csv.DictReader(io.StringIO(study.read(FILES[0]).decode())))
    assert len(lines) == 1 + 3 * 4 * 2 and {line["seeds"] for line in lines} == {"", "3"}
    assert study.run("--", FILES[0]) == {}


def test_its_settings_run_it_again_and_no_others_do(study, tmp_path):
    changed = study.copy(tmp_path / "study")
    changed.change_config(lambda values: values["pretrain"].update(lr=0.02))
    assert changed.run("-n", "--", FILES[0]) == {}
    changed.change_config(
        lambda values: values["counterexample"].update(weight_decays=[0.0, 0.02], networks=["linear"])
    )
    assert changed.run("--", FILES[0]) == {"counterexample": 1}
    before, after = (list(csv.reader(io.StringIO(one.read(FILES[0]).decode()))) for one in (study, changed))
    assert len(after) == 2 + 2 * 2 and [line for line in after if line in before and line[0] == "linear"] == [
        line for line in before if line[:2] == ["linear", "0.0"]
    ]
