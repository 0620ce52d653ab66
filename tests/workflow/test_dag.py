"""Compare the graph of jobs that a plan reads with `snakemake -n`, for every kind of study."""

import collections
import logging
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.api import Workflow

from tests.support.closures import table_stages
from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning import dag
from workflow_scripts.timecat.planning.dag import Dag, DagJob, read_dag
from workflow_scripts.timecat.planning.jobs import COSTS

TABLE2 = ["results/table2.csv"]
# Rules whose jobs cost only their start-up time: they take seconds, download files, or belong to no table.
WITHOUT_COST = {
    *("all", "all_arms", "build_image", "download", "diagnose", "reweight", "counterexample"),
    *table_stages(),  # each rule has the name of its stage
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run, with two additional studies in config/."""
    folder = StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")
    for study in (every_stage, published):
        (folder.path / f"config/{study.__name__}.yaml").write_text(yaml.safe_dump(study(), sort_keys=False))
    return folder


def every_stage() -> dict:
    """Return the config values of the tiny study with an arm of each kind.

    There are also milestones before and after the steps of all arms.
    """
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    values["data_sets"]["digits"] = {"kind": "digits"}
    values["data_sets"]["unused"] = {"kind": "image_folder", "root": "nowhere"}
    values["targets"].append("digits")
    values["pretrain"]["milestones"] = [2, 20]
    values["arms"] += [
        {"name": "tuned", "members": 3, "steps": 8, "transfer": "finetune"},
        {"name": "scratch", "members": 1, "transfer": "direct"},
        {"name": "own", "members": 1, "steps": 8, "pretrained_on": "target"},
    ]
    return values


def published() -> dict:
    """Return the config values of the tiny study with downloaded checkpoints, and a data set for evaluation only."""
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    values["data_sets"]["sketch"] = {"kind": "evaluation_folder", "root": "images", "probe_of": "cues_tiny"}
    values["targets"].append("sketch")
    values["checkpoints"] = {"path": "https://example.org/{run}_{step}.pt", "runs": {4: [0, 1, 2], 12: [0]}}
    return values


def lines_of(jobs: list[DagJob]) -> list[tuple]:
    """Return the sorted tuples (rule, wildcards, inputs, outputs, threads, resources) of jobs."""
    return sorted(
        (
            job.rule,
            ", ".join(f"{name}={value}" for name, value in job.wildcards.items()),
            tuple(job.inputs),
            tuple(job.outputs),
            job.threads,
            ", ".join(f"{name}={value}" for name, value in job.resources.items()),
        )
        for job in jobs
    )


def dry_run(folder: StudyFolder, config: str, targets: list[str]) -> list[tuple]:
    """Return the sorted tuples (rule, wildcards, inputs, outputs, threads, resources) of the jobs of a dry run.

    The dry run has more cores than any job uses, so that Snakemake does not limit threads.
    """
    snakefile = ("-s", str(ROOT / "Snakefile"))  # as in a plan, which uses the code of its checkout in any folder
    said = folder.snakemake("-n", *snakefile, "--nolock", "--", *targets, config=config, cores=10_000).stdout
    found = []
    for block in re.split(r"\n(?=\[\w{3} \w{3})", said):
        keys = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
        for rule in re.findall(r"^(?:local)?rule (\w+):$", block, re.MULTILINE):
            inputs, outputs = (tuple(filter(None, keys.get(key, "").split(", "))) for key in ("input", "output"))
            threads = int(keys.get("threads", 1))
            found.append((rule, keys.get("wildcards", ""), inputs, outputs, threads, keys["resources"]))
    return sorted(found)


def edges(graph: str) -> collections.Counter:
    """Return the number of edges from one rule to another in a dot graph of jobs."""
    labels = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)', graph, re.MULTILINE))
    return collections.Counter((labels[a], labels[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", graph, re.M))


@pytest.mark.parametrize(
    "name, tables",
    [
        ("config", ["table2"]),
        ("config", ["table1", "controls", "families", "grid"]),
        ("config", ["gap", "spurious", "genomics"]),
        ("config", ["counterexample"]),
        ("paper", ["table2"]),
        ("paper", ["table2", "table1", "controls", "grid", "gap", "calibration", "counterexample"]),
        ("families", ["families"]),
        ("photos-gpu", ["table2"]),
        ("waterbirds", ["spurious"]),
        ("every_stage", ["table2"]),
        ("published", ["table2"]),
    ],
)
def test_the_graph_has_the_jobs_of_a_dry_run(fresh, monkeypatch, name, tables):
    """Rules, wildcards, files, threads, resources and dependencies are compared."""
    monkeypatch.chdir(fresh.path)
    config, targets = f"config/{name}.yaml", [f"results/{table}.csv" for table in tables]
    graph = read_dag(config, targets)
    assert lines_of(graph.jobs) == dry_run(fresh, config, targets)
    places = {job: place for place, job in enumerate(graph.jobs)}
    assert all(places[need] < places[job] for job in graph.jobs for need in job.needs)
    found = collections.Counter((need.rule, job.rule) for job in graph.jobs for need in job.needs)
    assert found == edges(fresh.snakemake("--dag", "dot", "--nolock", "--", *targets, config=config).stdout)
    assert graph.needed_for(targets) == list(graph.jobs)


def test_jobs_of_local_rules_are_local(fresh, monkeypatch):
    """Local rules are the rules with `localrule: True`."""
    monkeypatch.chdir(fresh.path)
    _, *parts = re.split(
        r"^rule (\w+):$", "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")), flags=re.MULTILINE
    )
    local = {name for name, text in zip(parts[::2], parts[1::2]) if "\n    localrule: True" in text}
    graph = read_dag("config/published.yaml", [*TABLE2, "results/calibration.csv", "results/diagnostics.csv"])
    assert {job.rule for job in graph.jobs if job.is_local} == local & {job.rule for job in graph.jobs}
    assert {job.rule for job in graph.jobs if job.is_local} == {"tabulate", "tabulate_diagnostics", "download"}


def test_every_rule_is_listed_with_or_without_a_cost():
    """A new rule must be added to COSTS or WITHOUT_COST.

    The graph also lists the rules that have no jobs in the study.
    """
    texts = [path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]]
    rules = {name for text in texts for name in re.findall(r"^ *rule (\w+):", text, re.MULTILINE)}
    assert rules == COSTS.keys() | WITHOUT_COST and not COSTS.keys() & WITHOUT_COST
    order = read_dag(ROOT / "config/families.yaml", TABLE2).rules
    assert set(order) == rules and order.index("write_dataset") < order.index("probe") < order.index("tabulate")


def test_existing_results_do_not_change_the_graph(monkeypatch, tmp_path):
    """The results are not modified either."""
    copy = StudyFolder.fresh(tmp_path / "copy")
    monkeypatch.chdir(copy.path)
    before = read_dag("config/tiny.yaml", TABLE2)
    for job in before.jobs:
        for path in map(Path, job.outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    files = sorted(map(str, copy.path.rglob("*")))
    assert lines_of(read_dag("config/tiny.yaml", TABLE2).jobs) == lines_of(before.jobs)
    assert sorted(map(str, copy.path.rglob("*"))) == files and not (copy.path / ".snakemake").exists()


@pytest.mark.parametrize("place", ["weights", "../weights", "{absolute}"])
def test_paths_of_local_weights_are_relative_to_the_working_directory(monkeypatch, tmp_path, place):
    copy = StudyFolder.fresh(tmp_path / "copy")
    monkeypatch.chdir(copy.path)
    place = place.format(absolute=tmp_path / "elsewhere")
    values = published() | {"checkpoints": {"path": f"{place}/{{seed}}_{{step}}.pt"}}
    for seed in values["pretrain"]["seeds"]:
        for step in (4, 12):
            file = Path(place) / f"{seed}_{step}.pt"
            file.parent.mkdir(exist_ok=True)
            file.touch()
    Path("study.yaml").write_text(yaml.safe_dump(values))
    jobs = read_dag("study.yaml", TABLE2).jobs
    files = {path for job in jobs if job.rule == "import_checkpoint" for path in job.inputs if path.endswith(".pt")}
    assert files and all(path.startswith(f"{place}/") for path in files)


def test_reading_the_graph_leaves_the_process_unchanged(fresh, monkeypatch, capfd):
    """Working directory, environment, module path, logger and signals stay the same; nothing is printed or logged."""
    monkeypatch.chdir(fresh.path)
    logger, records = logging.getLogger("snakemake.logging"), []
    mine = logging.Handler()
    mine.emit = records.append
    monkeypatch.setattr(logging.getLogger(), "handlers", [mine])
    monkeypatch.setattr(logger, "handlers", [mine])

    def state() -> tuple:
        signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        return os.getcwd(), dict(os.environ), list(sys.path), list(logger.handlers), logger.level, signals

    before = state()
    read_dag("config/tiny.yaml", TABLE2)
    with pytest.raises(UserError):
        read_dag("config/tiny.yaml", ["results/nothing.csv"])
    assert state() == before and not records
    assert capfd.readouterr() == ("", "")


def test_a_file_that_no_rule_makes_is_refused(fresh, monkeypatch):
    monkeypatch.chdir(fresh.path)
    with pytest.raises(UserError, match=r"cannot list the jobs of .*tiny.yaml: No rule to produce results/nothing.csv"):
        read_dag("config/tiny.yaml", ["results/nothing.csv"])


@pytest.mark.parametrize("name", ["_prepare_dag", "_build_dag"])
def test_an_unsupported_snakemake_is_refused(fresh, monkeypatch, name):
    monkeypatch.chdir(fresh.path)
    monkeypatch.delattr(Workflow, name)
    with pytest.raises(UserError, match=rf"Snakemake [\d.]+ has no {name}; install the version that envs/requirements"):
        read_dag("config/tiny.yaml", TABLE2)


def test_needed_for_returns_the_jobs_that_files_depend_on():
    def job(name: str, *needs: DagJob) -> DagJob:
        return DagJob(
            rule="it",
            wildcards={},
            inputs=tuple(path for need in needs for path in need.outputs),
            outputs=(name,),
            resources={},
            threads=1,
            is_local=False,
            needs=needs,
        )

    first, other = job("first"), job("other")
    second = job("second", first)
    graph = Dag((first, other, second), ("it",))
    assert graph.needed_for(["second"]) == [first, second] and graph.needed_for(["other"]) == [other]
    assert first.gpus == 0 and dag.ROOT == ROOT
