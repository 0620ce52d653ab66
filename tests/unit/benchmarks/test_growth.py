"""Tests of benchmarks.growth: studies grow along one axis, and more arms do not extract more features."""

import dataclasses

import pytest

from benchmarks import growth
from tests.support.studies import StudyFolder
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.study.study import Study

SMALLEST = growth.Scale(train=64, evaluation=32, steps=2, width=4, epochs=2)


def study(**sizes) -> Study:
    """Return the small study with these numbers of images, checkpoints and arms."""
    return Study(read_config(growth.study_config(SMALLEST, **sizes), []))


@pytest.mark.parametrize("factor", growth.FACTORS)
def test_only_one_axis_grows_at_a_time(factor):
    images = study(images=factor).config
    rows = images.data_sets["cues"].rows
    assert (rows.train, rows.evaluation) == (factor * 64, factor * 32) and images.pretrain.seeds == [1]
    checkpoints = study(checkpoints=factor)
    (arm,) = checkpoints.arms.values()
    assert checkpoints.arms.replicates(arm) == [[seed] for seed in range(1, factor + 1)]
    arms = study(checkpoints=growth.MOST, arms=factor)
    members = [tuple(map(tuple, arms.arms.replicates(arm))) for arm in arms.arms.values()]
    assert len(set(members)) == factor and arms.config.pretrain.seeds == list(range(1, growth.MOST + 1))
    assert {arm.steps for arm in arms.arms.values()} == {arm.steps}, "the checkpoints exist already"


def test_a_study_with_more_arms_extracts_no_features_again(tmp_path):
    folder = StudyFolder.fresh(tmp_path / "study")
    first = growth.run(folder, growth.study_config(SMALLEST, checkpoints=2))
    assert first.jobs == {"write_dataset": 2, "pretrain": 2, "extract_features": 2, "probe": 1, "tabulate": 1}
    assert first.ran == first.jobs
    assert all(first.memory[stage] > 0 for stage in ("pretrain", "extract_features"))
    assert first.jobs_cpu > first.own_cpu > 0
    growth.forget(folder, "probe")
    second = growth.run(folder, growth.study_config(SMALLEST, checkpoints=2, arms=2))
    assert second.jobs == first.jobs | {"probe": 2} and second.ran == {"probe": 2, "tabulate": 1}
    assert second.work["pretrain"] == first.work["pretrain"], "measured in the first run"


def test_the_exponent_of_growth_is_found():
    assert growth.slope([1, 2, 4, 8], [3, 6, 12, 24]) == pytest.approx(1)
    assert growth.slope([1, 2, 4], [1, 4, 16]) == pytest.approx(2)


def measured(seconds: float) -> growth.Run:
    """Return a run in which the jobs of each stage took this number of seconds."""
    values = dict.fromkeys(growth.STAGES, seconds)
    jobs = dict.fromkeys(growth.STAGES, 1)
    return growth.Run(values, values, dict.fromkeys(growth.STAGES, 100.0), jobs, jobs, 1.0, 1.0, 5.0)


def test_stages_that_grow_too_fast_are_named():
    runs = [measured(seconds) for seconds in (1, 2, 4, 8)]
    assert growth.more_than_linear({"images": runs}) == []
    runs[-1] = dataclasses.replace(runs[-1], work=runs[-1].work | {"probe": 16})
    assert growth.more_than_linear({"images": runs}) == ["probe with images (4.00 times)"]
    page = growth.axis_table("images", runs)
    assert "| probe | 1 | 1.00 | 2.00 | 4.00 | 16.00 | 4.00 | 1.30 | 100, 100, 100, 100 | 1.00 |" in page
    assert "| whole study | 5 | 5.00 | 10.00 | 20.00 | 48.00 | 2.40 | 1.08 | 100, 100, 100, 100 | 1.00 |" in page
    assert page[-1].startswith("| whole study, wall | 5 | 5.00 | 10.00 | 20.00 | 40.00 | 2.00 |")
    assert growth.snakemake_table({"images": runs, "arms": runs[:1]})[-1] == "| 5 | 5 | 1.0 | 1.0 | 5.0 |"
