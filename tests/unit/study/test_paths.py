"""Tests of path templates, with wildcards for rules and filled in for other code."""

import pytest
from snakemake.iocontainers import Wildcards

from workflow_scripts.timecat.study.paths import JOBS, Paths
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey, FeaturesKey, TableKey, of_table

CHECKPOINT = CheckpointKey("cues", "small", 3, 12)


def test_a_template_is_filled_in_from_a_key_or_from_wildcards():
    expected = "results/checkpoints/cues/small/seed3/step12.safetensors"
    assert Paths().checkpoint.at(CHECKPOINT).weights == expected
    wildcards = Wildcards(fromdict={"source": "cues", "backbone": "small", "seed": "3", "step": "12"})
    assert Paths().checkpoint.at(wildcards).weights == expected
    assert Paths().checkpoint.weights == "results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors"


def test_a_wildcard_without_a_value_remains():
    train = Paths().data_set.at(split="train")
    assert train.index == "results/data_sets/{data_set}/train.index.parquet"
    assert Paths().data_set.at(data_set="{source}", split="train").beton == "results/data_sets/{source}/train.beton"


def test_a_given_value_takes_precedence_over_the_key():
    files = Paths().probe.at(CellKey("cues", "sketch", "cat2"), data_set="photos")
    assert files.heads_sidecar == "results/probes/cues/photos/cat2.heads.safetensors.json"


def test_sidecars_are_beside_their_files():
    features = Paths().features.at(FeaturesKey(**vars(CHECKPOINT), data_set="digits"))
    assert features.all == (
        "results/features/cues/small/seed3/step12/digits",
        "results/features/cues/small/seed3/step12/digits.json",
    )
    for files in (Paths().checkpoint, Paths().data_set, Paths().download, Paths().probe, Paths().transfer):
        named = vars(files)
        for name, path in named.items():
            if name.endswith("sidecar"):
                main = {"sidecar": "beton" if "beton" in named else "path"}.get(name, name.removesuffix("_sidecar"))
                assert path == f"{named[main]}.json"


def test_all_paths_are_in_one_folder():
    paths = Paths("other")
    texts = [path for files in vars(paths).values() for path in (files.all if hasattr(files, "all") else [files])]
    texts += [paths.log(rule) for rule in JOBS] + [paths.benchmark(rule) for rule in JOBS]
    assert len(texts) > 50 and all(text == "other" or text.startswith("other/") for text in texts)


@pytest.mark.parametrize("table", ["table2", "spurious"])
def test_of_table_passes_the_name_of_its_table(table):
    assert of_table(lambda wildcards: wildcards.table, table)(None) == table
    assert of_table(lambda wildcards: wildcards, table)(None) == TableKey(table)


def test_rules_of_tables_need_no_entry_in_jobs():
    """The names of their logs and benchmarks come from the name of the rule."""
    assert Paths("there").log("tabulate_members") == "there/logs/tabulate_members/members.log"
    assert Paths("there").benchmark("calibration") == "there/benchmarks/calibration/calibration.tsv"
    assert Paths("there").log("tabulate_gap") == "there/logs/tabulate_gap/{table}.log"
