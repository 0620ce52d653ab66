"""Tests of designs of replicates: disjoint groups of seeds, cyclic groups, and all or randomly drawn groups."""

import subprocess
import sys
from collections import Counter
from math import comb

import pytest

from tests.unit.study.test_arms import STUDY, study
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.designs import cyclic, disjoint, every

SEEDS = [2, 550, 23, 477, 8529, 31]


def test_disjoint_groups_share_no_seed():
    assert disjoint(SEEDS, 2) == [[2, 550], [23, 477], [8529, 31]]
    assert disjoint(SEEDS, 4) == [[2, 550, 23, 477]]
    assert disjoint(SEEDS, 7) == []


def test_each_seed_begins_one_cyclic_group():
    assert cyclic(SEEDS, 4)[:2] == [[2, 550, 23, 477], [550, 23, 477, 8529]]
    assert cyclic(SEEDS, 4)[-1] == [31, 2, 550, 23]
    assert len(cyclic(SEEDS, 5)) == len(cyclic(SEEDS, 1)) == 6


def test_there_is_one_cyclic_group_of_all_seeds():
    assert cyclic(SEEDS, 6) == [SEEDS]
    assert cyclic(SEEDS, 7) == []


def test_all_groups_are_in_the_order_of_the_seeds():
    assert every(SEEDS[:3], 2, most=3, draw=0) == [[2, 550], [2, 23], [550, 23]]
    assert every(SEEDS[:2], 3, most=3, draw=0) == []


@pytest.mark.parametrize("n", range(3, 13))
@pytest.mark.parametrize("members", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("most", [1, 2, 5, 8, 20])
def test_drawn_groups_contain_all_seeds_about_equally_often(n, members, most):
    """No group is drawn twice; the numbers of groups that two seeds are in differ by at most two."""
    seeds = list(range(100, 100 + n))
    groups = every(seeds, members, most, draw=0)
    assert len({frozenset(group) for group in groups}) == len(groups) == min(most, comb(n, members))
    assert all(len(set(group)) == members and group == sorted(group) for group in groups)
    counts = Counter(seed for group in groups for seed in group)
    assert max(counts[seed] for seed in seeds) - min(counts[seed] for seed in seeds) <= 2


def test_drawn_groups_depend_only_on_seeds_and_draw():
    drawn = every(range(15), 4, 20, draw=0)
    assert drawn == every(range(15), 4, 20, draw=0) != every(range(15), 4, 20, draw=1)
    assert every(range(15), 4, 12, draw=0) == drawn[:12], "a larger number of groups contains the smaller one's"


def test_designs_do_not_import_numpy():
    code = "import sys; import workflow_scripts.timecat.study.designs; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- in a study ---


def replicates(made, name):
    """Return the replicates of an arm, given by name."""
    return made.arms.replicates(made.arms[name])


def test_an_arm_may_set_its_design():
    arms = [
        {"name": "cat1", "members": 1, "steps": 8},
        {"name": "cat2", "members": 2, "steps": 4, "replicates": "cyclic"},
        {"name": "every2", "members": 2, "steps": 4, "replicates": "all"},
    ]
    made = study(arms=arms)
    assert replicates(made, "cat1") == [[seed] for seed in (1, 2, 3, 4, 5)]
    assert replicates(made, "cat2") == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 1]]
    assert len(replicates(made, "every2")) == 10


def test_the_studys_design_is_the_default():
    """Arms and the grid use it; an arm with `one_seed` does not."""
    made = study(replicates={"design": "all", "most": 7, "seed": 3})
    assert len(replicates(made, "cat2")) == 7
    assert replicates(made, "cat2") == every([1, 2, 3, 4, 5], 2, 7, draw=3)
    assert replicates(made, made.arms.grid[2, 8].name) == replicates(made, "cat2"), (
        "cells must have equal designs to be compared"
    )
    assert made.arms.grid[2, 4].name == "cat2"
    assert replicates(made, "copies") == [[seed] * 3 for seed in (1, 2, 3, 4, 5)], "each seed is a replicate"


def test_a_grid_draws_at_most_its_number_of_replicates():
    made = study(replicates={"design": "all", "most": 7}, grid={"members": [2], "replicates": 4})
    assert made.arms.replicates(made.arms.grid[2, 8]) == every([1, 2, 3, 4, 5], 2, 4, draw=0)


def test_a_tables_design_applies_to_its_probed_arms():
    """Fine-tuned arms keep disjoint replicates, because each further replicate would train backbones."""
    arms = [
        "cat2",
        {"name": "own2", "members": 2, "steps": 4, "backbone": "wide"},
        {"name": "listed", "members": 2, "steps": 4, "replicates": [[1, 2]]},
        {"name": "tuned", "members": 2, "steps": 4, "transfer": "finetune"},
        {"name": "tuned_more", "members": 2, "steps": 4, "transfer": "finetune", "replicates": "cyclic"},
    ]
    made = study(table1={"arms": arms, "replicates": "cyclic"}, replicates={"design": "all"})
    assert len(replicates(made, "own2")) == 5
    assert replicates(made, "listed") == [[1, 2]]
    assert replicates(made, "tuned") == [[1, 2], [3, 4]], "each further replicate would train backbones"
    assert len(replicates(made, "tuned_more")) == 5
    assert len(replicates(made, "cat2")) == 10, "an arm keeps the design of the table that defines it"


def test_replicates_use_only_seeds_with_published_weights():
    made = study(
        checkpoints={"path": "https://example.org/{run}_{step}", "runs": {8: [0, 1, 2]}},
        replicates={"design": "cyclic"},
        arms=[{"name": "cat2", "members": 2, "steps": 8}],
        table1=None,
        controls=None,
    )
    assert replicates(made, "cat2") == [[1, 2], [2, 3], [3, 1]]


def test_an_unknown_design_is_refused(tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(STUDY.replace("members: 2, steps: 4}", "members: 2, steps: 4, replicates: circular}", 1))
    import yaml

    with pytest.raises(UserError, match=r"replicates"):
        read_config(yaml.safe_load(config.read_text()), [])
