"""Run the counterexample through Snakemake: it needs no other jobs, and reruns if its code or settings change."""

import csv
import io

import pytest

from tests.support.studies import StudyFolder

FILES = [f"results/counterexample.{ending}" for ending in ("csv", "svg", "parquet")]
FILES.append("results/counterexample_together.parquet")
BOTH = {"counterexample": 1, "tabulate_counterexample": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which only the counterexample of the tiny study has run."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("counterexample") / "study")
    assert study.run("--", FILES[0]) == BOTH
    return study


def test_the_counterexample_makes_only_its_four_files(study):
    made = {str(path.relative_to(study.path)) for path in (study.path / "results").rglob("*") if path.is_file()}
    assert made - {"results/README.md"} == {
        *FILES,
        *(f"results/logs/{rule}/counterexample.log" for rule in BOTH),
        *(f"results/benchmarks/{rule}/counterexample.tsv" for rule in BOTH),
    }
    lines = list(csv.DictReader(io.StringIO(study.read(FILES[0]).decode())))
    assert len(lines) == 1 + 3 * 4 * 2 and {line["seeds"] for line in lines} == {"", "3"}
    assert study.run("--", FILES[0]) == {}


def test_only_its_own_settings_rerun_the_counterexample(study, tmp_path):
    changed = study.copy(tmp_path / "study")
    changed.change_config(lambda values: values["pretrain"].update(lr=0.02))
    assert changed.run("-n", "--", FILES[0]) == {}
    changed.change_config(
        lambda values: values["counterexample"].update(weight_decays=[0.0, 0.02], networks=["linear"])
    )
    assert changed.run("--", FILES[0]) == BOTH
    before, after = (list(csv.reader(io.StringIO(one.read(FILES[0]).decode()))) for one in (study, changed))
    assert len(after) == 2 + 2 * 2 and [line for line in after if line in before and line[0] == "linear"] == [
        line for line in before if line[:2] == ["linear", "0.0"]
    ]


def test_an_edit_of_the_figure_does_not_retrain_networks(study, tmp_path):
    changed = study.copy(tmp_path / "study")
    with open(changed.path / "workflow_scripts/timecat/tables/figures/counterexample.py", "a") as figure:
        figure.write("# another edit\n")
    assert changed.run("--", FILES[0]) == {"tabulate_counterexample": 1}
    assert changed.read(FILES[1]) == study.read(FILES[1])


def test_an_edit_of_the_networks_reruns_both_stages(study, tmp_path):
    changed = study.copy(tmp_path / "study")
    with open(changed.path / "workflow_scripts/timecat/counterexample/networks.py", "a") as networks:
        networks.write("# another edit\n")
    assert changed.run("-n", "--", FILES[0]) == BOTH
