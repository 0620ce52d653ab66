"""Run the table of families: published networks with other pretraining, and a network that the study trains."""

import csv
import io
import json

import torch

from tests.unit.checkpoints.test_families import REGNET, VIT, seer, trained, vit
from workflow_scripts.timecat.artifacts.digests import canonical_json

ELSEWHERE = "images of Instagram"


def block_of(network) -> dict:
    """Return a network's settings as a block `backbones.NAME` of the config."""
    return json.loads(canonical_json(network))


def with_families(folder):
    """Return a function that adds published networks and the table of families to a study's config.

    folder: location of the published files.
    """

    def change(values: dict) -> None:
        values["backbones"] |= {
            "seer": block_of(REGNET)
            | {"checkpoints": {"path": f"{folder}/seer.torch", "ignored": ["fc.*"], "pretrained_on": ELSEWHERE}},
            "vit": block_of(VIT) | {"checkpoints": {"path": f"{folder}/run{{run}}.pth", "ignored": ["heads.head.*"]}},
        }
        values["families"] = {
            "arms": [
                "cat1",
                {"name": "seer", "members": 1, "steps": 244, "backbone": "seer", "seeds": [2]},
                {"name": "vit_cat2", "members": 2, "steps": 300, "backbone": "vit", "seeds": [2, 550]},
            ]
        }

    return change


def test_published_and_pretrained_networks_are_in_one_table(study, tmp_path):
    torch.save(seer(trained(REGNET).state_dict()), tmp_path / "seer.torch")
    for run in (0, 1):
        torch.save(vit(trained(VIT).state_dict()), tmp_path / f"run{run}.pth")
    table2 = study.read("results/table2.csv")
    study.change_config(with_families(tmp_path))
    jobs = study.run("--", "results/families.csv")
    assert jobs == {"import_checkpoint": 3, "extract_features": 3, "probe": 2, "tabulate_arms": 1}
    lines = list(csv.DictReader(io.StringIO(study.read("results/families.csv").decode())))
    assert [line["method"] for line in lines] == ["cat1", "seer", "vit_cat2"]
    assert all(0 < float(line["cues_tiny"]) < 100 for line in lines) and lines[2]["total_steps"] == "600"
    page = study.read("results/families.md").decode()
    assert f"**seer**: published weights, pretrained on {ELSEWHERE}." in page and "in distribution" in page
    assert study.run("--", "results/families.csv") == {} == study.run()
    assert study.read("results/table2.csv") == table2

    # If the file of one network changes, only the jobs that depend on it rerun.
    state = trained(VIT).state_dict()
    torch.save(vit({key: value + 0.01 for key, value in state.items()}), tmp_path / "run1.pth")
    again = {"import_checkpoint": 1, "extract_features": 1, "probe": 1, "tabulate_arms": 1}
    assert study.run("--", "results/families.csv") == again
