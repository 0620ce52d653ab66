"""Regular expressions that constrain the values of wildcards."""

import re
from collections.abc import Iterable

from workflow_scripts.timecat.backbones.catalogue import RANDOM_PROJECTION
from workflow_scripts.timecat.config.arms import GAP_TABLES, TABLES, TRAINED
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.study.arms import Arms
from workflow_scripts.timecat.study.data_sets import DataSets
from workflow_scripts.timecat.study.publications import Publications

NOTHING = "(?!)"  # matches no value


def patterns_of(config: Config, arms: Arms, data_sets: DataSets, publications: Publications) -> dict[str, str]:
    """Return the regular expression of each wildcard, and narrower ones for some rules, by name."""

    def arms_with(*modes: str) -> list[str]:
        return [name for name, arm in arms.items() if arm.transfer in modes]

    evaluated = [name for name in config.data_sets if data_sets.is_for_evaluation(name)]
    values: dict[str, Iterable[str]] = {
        "data_set": config.data_sets,
        "evaluated": evaluated,
        "probed": [name for name in config.data_sets if name not in evaluated],
        "backbone": config.backbones,
        "imported_backbone": publications,
        "pretrained_backbone": [
            name
            for name, backbone in config.backbones.items()
            if name not in publications and backbone.architecture != RANDOM_PROJECTION
        ],
        "milestone": [r"[1-9]\d*"],
        "table": TABLES,
        "gap_table": GAP_TABLES,
        "arm": arms,
        "probed_arm": arms_with("probe"),
        "transferred_arm": arms_with(*TRAINED),
        "reweighted_arm": arms_with("reweight"),
        "download": map(re.escape, publications.downloads),
    }
    return {name: "|".join(names) or NOTHING for name, names in values.items()}
