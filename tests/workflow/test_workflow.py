"""Check the workflow in dry runs: default target, jobs per study, style, mistakes in the config, generated files."""

import re
import subprocess
import sys

import pytest
import yaml
from snakemake.utils import validate

from tests.support.studies import ROOT, StudyFolder, jobs_of
from workflow_scripts.timecat.config import reference
from workflow_scripts.timecat.study.paths import Paths

CONFIGS = sorted(path.name for path in (ROOT / "config").glob("*.yaml") if path.name != "throughputs.yaml")


def run(*command: str, cwd=ROOT, check=True) -> subprocess.CompletedProcess:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert not check or done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


@pytest.mark.parametrize("config", CONFIGS)
def test_every_study_has_a_dag(fresh, config):
    jobs = jobs_of(fresh.snakemake("-n", config=f"config/{config}"))
    assert list(jobs) and jobs["tabulate"] == 1


def test_the_default_study_has_the_expected_jobs(fresh):
    """The default study is the embedded study (config/config.yaml)."""
    jobs = jobs_of(fresh.snakemake("-n", config=None))
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    targets, seeds, arms = len(values["targets"]), len(values["pretrain"]["seeds"]), values["arms"]
    checkpoints, others = (
        seeds * len(arms),
        targets - 1,
    )  # every seed is in a replicate of each arm; the source has no floor
    assert jobs == {
        "write_dataset": 2 * targets,
        "initialise": seeds + 1,
        "pretrain": checkpoints,
        "transfer": others,
        "extract_features": checkpoints * targets + (seeds + 1) * others,
        "probe": len(arms) * targets + (len(arms) + 1) * others,
        "tabulate": 1,
    }


def test_a_dry_run_of_the_papers_study_needs_no_data(fresh):
    """Table 2 has 5 seeds with a checkpoint at each of 4 steps; 5, 4, 4 and 5 of these are probed on 4 data sets.

    Five untrained networks and a projection of the pixels are floors of the three targets other than the source.
    """
    jobs = jobs_of(fresh.snakemake("-n", config="config/paper.yaml"))
    expected = {"write_dataset": 2 * 4, "pretrain": 5 * 4, "initialise": 5 + 1}
    expected |= {"extract_features": (5 + 4 + 4 + 5) * 4 + (5 + 1) * 3, "probe": 4 * 4 + (4 + 1) * 3}
    assert {rule: jobs[rule] for rule in expected} == expected
    assert not (fresh.path / "data").exists()


def test_paper_yaml_has_the_recipe_of_the_paper():
    values = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    assert values["pretrain"] | {"seeds": None} == {
        "seeds": None,
        "batch_size": 1024,
        "accumulation": 4,
        "ghost_batch": 128,
        "lr": 0.0025,
        "betas": [0.9, 0.9955159689799007],
        "weight_decay": 0.08121616522670176,
        "warmup_steps": 2939,
        "label_smoothing": 0.2,
        "initialisation": "lecun_normal",
        "zero_gamma": True,
        "batch_norm_batches": 50,
    }
    assert values["pretrain"]["seeds"] == [2, 550, 23, 477, 8529]
    assert [(arm["members"], arm["steps"]) for arm in values["arms"]] == [
        (1, 450_000),
        (2, 200_000),
        (4, 100_000),
        (5, 80_000),
    ]


def test_diagnostics_run_only_when_requested(fresh):
    jobs = jobs_of(fresh.snakemake("-n", "--", "results/diagnostics.csv", config=None))
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    cells = sum(arm["members"] > 1 for arm in values["arms"]) * len(values["targets"])
    assert jobs["diagnose"] == jobs["probe"] == cells and jobs["tabulate_diagnostics"] == 1 and "tabulate" not in jobs


def test_the_counterexample_is_not_part_of_table_2(fresh):
    """Every study can run the two jobs of the counterexample, whatever its data.

    Only the block `counterexample` of the config changes their settings.
    """
    for config in (None, "config/paper.yaml"):
        dry = fresh.snakemake("-n", "-p", "--", "results/counterexample.csv", config=config)
        assert jobs_of(dry) == {"counterexample": 1, "tabulate_counterexample": 1}
        assert '"seeds":24' in dry.stdout and "pretrain" not in dry.stdout
    assert "counterexample" not in jobs_of(fresh.snakemake("-n", config=None))


def with_an_evaluation_folder(tmp_path):
    """Write the tiny study's config with an additional data set for evaluation only, and return its path.

    The new data set is evaluated with the probe of cues_tiny.
    """
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    values["data_sets"]["sketch"] = {"kind": "evaluation_folder", "root": "images", "probe_of": "cues_tiny"}
    values["targets"].append("sketch")
    values["data_sets"]["cues_tiny"]["transform"] = {"size": 24}
    path = tmp_path / "evaluation.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return str(path)


def test_a_data_set_for_evaluation_only_uses_an_existing_probe(fresh, tmp_path):
    config = with_an_evaluation_folder(tmp_path)
    dry = fresh.snakemake("-n", "-p", config=config)
    jobs = jobs_of(dry)
    assert jobs == jobs | {"extract_features": 2 * 4, "probe": 2, "evaluate_probe": 2, "tabulate": 1}
    for step in ("seed2/step12", "seed23/step4"):
        (job,) = re.findall(rf"python -m workflow_scripts.extract_features.*{step}/sketch .*", dry.stdout)
        assert re.search(r"--train +--train-index +--evaluation results/data_sets/sketch/evaluation\.beton", job)
        assert '"views":[]' in job and "--heldout null" in job and '"size":24' in job
    (job,) = re.findall(r"python -m workflow_scripts.evaluate_probe.*sketch/cat3.parquet.*", dry.stdout)
    assert "--heads results/probes/cues_tiny/cues_tiny/cat3.heads.safetensors" in job
    assert "diagnose" not in jobs and "results/data_sets/sketch/train" not in job
    diagnosed = jobs_of(fresh.snakemake("-n", "--", "results/diagnostics.csv", config=config))
    assert diagnosed["diagnose"] == 1 and "evaluate_probe" not in diagnosed
    # A data set for evaluation only has no probe.
    done = fresh.snakemake("-n", "--", "results/probes/cues_tiny/sketch/cat3.parquet", config=config, check=False)
    assert "MissingRuleException" in done.stdout + done.stderr


def test_the_default_target_is_table_2(fresh):
    bare = fresh.snakemake("-n", "--resources", "gpu=4", config=None, cores=8)
    named = fresh.snakemake("-n", "--resources", "gpu=4", "--", "results/table2.csv", config=None, cores=8)
    assert jobs_of(bare) == jobs_of(named)


def test_all_embedded_data_sets_can_be_made(fresh):
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert {"cues", "digits", "cue0", "cue1", "cue2", "cue3"} <= set(values["data_sets"])
    targets = [
        f"results/data_sets/{name}/{split}.beton" for name in values["data_sets"] for split in ("train", "evaluation")
    ]
    assert jobs_of(fresh.snakemake("-n", "--", *targets, config=None)) == {"write_dataset": len(targets)}


def test_snakemake_lint_accepts_the_workflow(fresh):
    run("snakemake", "--lint", cwd=fresh.path)


def test_code_and_rules_are_formatted():
    run("snakefmt", "--check", "Snakefile", "rules")
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_rules_logs_and_benchmarks_have_the_name_of_their_stage(fresh):
    for path in sorted((ROOT / "rules").glob("*.smk")):
        text = path.read_text()
        assert text.startswith('"""\n') and "\nInput " in text and "\nOutput " in text, (
            "a rules file begins with a docstring that lists its inputs and outputs"
        )
        _, *rules = re.split(r"^rule (?=\w+:)", text, flags=re.MULTILINE)
        assert rules and (len(rules) == 1 or path.stem == "tables"), path
        for rule in rules:
            stage = rule.partition(":")[0]
            assert stage == path.stem or path.stem == "tables"
            assert (ROOT / f"workflow_scripts/{stage}.py").exists()
            assert f'paths.log("{stage}")' in rule and f'paths.benchmark("{stage}")' in rule
            code = f'code_of("{stage}")'
            # A new container image reruns all jobs, so an edit of Python code does not rebuild the image.
            assert f"code={code}" in rule or f"code=ancient({code})" in rule or stage == "build_image"
            assert f"python -m workflow_scripts.{stage}" in rule
            assert Paths().log(stage).startswith(f"results/logs/{stage}/")
            assert Paths().benchmark(stage).startswith(f"results/benchmarks/{stage}/")


def test_only_the_graph_is_printed(fresh):
    """Any other text on standard output would corrupt ``snakemake --dag | dot``."""
    done = fresh.snakemake("--rulegraph", "dot", config=None)
    assert done.stdout.startswith("digraph snakemake_dag {") and done.stdout.rstrip().endswith("}")


def test_the_snakefile_is_quick_to_parse():
    """Every cluster job parses the Snakefile again, so it must not load large libraries."""
    code = (
        "import sys; from workflow_scripts.timecat.artifacts import source_code;"
        "from workflow_scripts.timecat.config import reading; from workflow_scripts.timecat.study import study;"
        "assert not {'torch', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)"
    )
    run(sys.executable, "-c", code)


def edges(graph: str) -> set[tuple[str, str]]:
    """Return the edges of a dot graph, as pairs of labels."""
    labels = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, re.MULTILINE))
    return {(labels[a], labels[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", graph, re.MULTILINE)}


def svg_edges(svg: str) -> set[tuple[str, str]]:
    """Return the edges of a graph that dot drew as SVG, as pairs of labels."""
    nodes = dict(re.findall(r'class="node">\s*<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>', svg, re.DOTALL))
    pairs = re.findall(r'class="edge">\s*<title>(\d+)&#45;&gt;(\d+)</title>', svg)
    return {(nodes[a], nodes[b]) for a, b in pairs}


def test_the_rule_graph_in_the_readme_is_current(fresh):
    """The README shows docs/figures/dag.svg; ``make dag`` draws it again."""
    graph = edges(fresh.snakemake("--rulegraph", "dot", "--", "results/table2.csv", config=None).stdout)
    assert ("pretrain", "pretrain") in graph and ("probe", "tabulate") in graph
    assert svg_edges((ROOT / "docs/figures/dag.svg").read_text()) == graph
    assert "figures/dag.svg" in (ROOT / "docs/reference/stages.md").read_text()


def test_generated_documentation_is_current():
    """If this fails, run ``make docs``."""
    assert reference.SCHEMA.read_text() == reference.schema_text()
    current = reference.PAGE.read_text()
    assert current == reference.page_text(current)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_schema_accepts_the_studies(config):
    values = yaml.safe_load((ROOT / "config" / config).read_text())
    validate(values, str(reference.SCHEMA), set_default=False)


def test_the_schema_refuses_a_mistake():
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text()) | {"sauce": 1}
    with pytest.raises(Exception, match="sauce"):
        validate(values, str(reference.SCHEMA), set_default=False)


def test_a_mistake_in_the_config_is_refused_before_any_job(fresh, tmp_path):
    text = (ROOT / "config/tiny.yaml").read_text()
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("batch_size: 64", "batch_size: 64\n  lr: 1e-4"))
    done = fresh.snakemake(check=False, config=str(bad))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{bad}: `pretrain.lr` is the text '1e-4'" in done.stderr and "1.0e-4" in done.stderr
    assert jobs_of(done) == {}


def test_an_unknown_key_on_the_command_line_is_refused(fresh):
    """The message suggests the key with the most similar name."""
    done = fresh.snakemake("-n", "--config", "torch_thread=2", check=False)
    assert (
        done.returncode == 1
        and "`torch_thread` is not a key; did you mean `torch_threads`?" in done.stdout + done.stderr
    )
