"""Tests that the table of deviations in docs/explanation/recipe.md agrees with config/paper.yaml."""

from tests.support.studies import ROOT
from workflow_scripts.timecat.config.reading import load_unique, read_config

HEADING = "## Where `config/paper.yaml` differs from the paper"


def deviations() -> dict[str, str]:
    """Return the table of deviations: name of the deviation -> text about the config (third column)."""
    _, found, section = (ROOT / "docs/explanation/recipe.md").read_text().partition(f"{HEADING}\n")
    assert found
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert all(line.count("|") == 5 for line in lines)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert all(effect for *_, effect in rows), "each row needs a text on its effect"
    return {name: own for name, _, own, _ in rows}


def test_the_table_of_deviations_agrees_with_the_config_of_the_paper():
    path = str(ROOT / "config/paper.yaml")
    config, said = read_config(load_unique(path), [path]), deviations()
    large, small = ("ImageNet-1k and iNaturalist 2018", "CIFAR-10 and CIFAR-100")
    for names, where in ((("imagenet", "inat18"), large), (("cifar100", "cifar10"), small)):
        blocks = [config.data_sets[name] for name in names]
        (views,) = {block.views for block in blocks}
        assert said[f"views, {where}"].startswith(f"`views: {views}`")
        assert said[f"rows per step of a probe, {where}"].startswith(f"{config.probe.batch_size}")
    storage = config.data_sets["imagenet"].storage
    assert config.data_sets["inat18"].storage == storage and storage.write_mode == "jpg"
    assert f"`longest_side: {storage.longest_side}`, quality {storage.quality}" in said["stored images"]
    assert config.data_sets["cifar10"].storage.write_mode == "raw" and said["CIFAR images"] == "pixels"
    assert said["features"] == config.features.dtype
    assert f"groups of {config.pretrain.ghost_batch} " in said["devices"]
    assert f"passes of {config.pretrain.batch_size // config.pretrain.accumulation} " in said["devices"]
