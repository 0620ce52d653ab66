"""Templates of paths: for rules as they are, for everything else filled."""

import pytest
from snakemake.iocontainers import Wildcards

from workflow_scripts.timecat.study.paths import JOBS, Paths
from workflow_scripts.timecat.study.wildcards import CellKey, CheckpointKey, FeaturesKey, TableKey, of_table

CHECKPOINT = CheckpointKey("cues", "small", 3, 12)


def test_a_template_is_filled_by_a_key_or_by_wildcards():
    expected = "results/checkpoints/cues/small/seed3/step12.safetensors"
    assert Paths().checkpoint.at(CHECKPOINT).weights == expected
    wildcards = Wildcards(fromdict={"source": "cues", "backbone": "small", "seed": "3", "step": "12"})
    assert Paths().checkpoint.at(wildcards).weights == expected
    assert Paths().checkpoint.weights == "results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors"


def test_what_is_not_given_stays_a_wildcard():
    train = Paths().data_set.at(split="train")
    assert train.index == "results/data_sets/{data_set}/train.index.parquet"
    assert Paths().data_set.at(data_set="{source}", split="train").beton == "results/data_sets/{source}/train.beton"


def test_a_value_goes_before_the_keys():
    files = Paths().probe.at(CellKey("cues", "sketch", "cat2"), data_set="photos")
    assert files.heads_sidecar == "results/probes/cues/photos/cat2.heads.safetensors.json"


def test_sidecars_stand_beside_their_files():
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


def test_all_is_below_one_folder():
    paths = Paths("other")
    texts = [path for files in vars(paths).values() for path in (files.all if hasattr(files, "all") else [files])]
    texts += [paths.log(rule) for rule in JOBS] + [paths.benchmark(rule) for rule in JOBS]
    assert len(texts) > 50 and all(text == "other" or text.startswith("other/") for text in texts)


@pytest.mark.parametrize("table", ["table2", "spurious"])
def test_a_rule_of_one_table_asks_for_that(table):
    assert of_table(lambda wildcards: wildcards.table, table)(None) == table
    assert of_table(lambda wildcards: wildcards, table)(None) == TableKey(table)


def test_a_table_s_rule_has_a_log_without_being_listed():
    assert Paths("there").log("tabulate_members") == "there/logs/tabulate_members/members.log"
    assert Paths("there").benchmark("calibration") == "there/benchmarks/calibration/calibration.tsv"
    assert Paths("there").log("tabulate_gap") == "there/logs/tabulate_gap/{table}.log"
