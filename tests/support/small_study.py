"""Make studies from YAML text, and define the text of a small study that tests extend."""

import copy
from typing import Any

import yaml

from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.study.study import Study

DATA_SETS = """
backbone: small
source: cues
targets: [cues, digits]
data_sets:
  cues: {kind: cues, rows: {train: 100, evaluation: 50}}
  digits: {kind: digits}
"""
ARMS = """
arms:
  - {name: cat1, members: 1, steps: 8}
  - {name: cat2, members: 2, steps: 4}
"""
ABSENT = "absent"  # the value of a block that study_of leaves out


def study_of(text: str, **changes: Any) -> Study:
    """Return the study that a YAML text describes.

    changes: top-level block -> value that replaces the block in the text, or ABSENT to remove it.
    """
    values = yaml.safe_load(text) | copy.deepcopy(changes)
    return Study(read_config({key: value for key, value in values.items() if value != ABSENT}, []))
