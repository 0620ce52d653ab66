"""Tests of benchmarks.dry_run: its commands list the expected numbers of jobs."""

import pytest
import yaml

from benchmarks import dry_run
from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.study.study import Study


@pytest.mark.parametrize(("seeds", "arms"), [(5, 1), (50, 1), (5, 10)])
def test_the_larger_studies_are_valid_and_have_the_given_sizes(seeds, arms):
    values = yaml.safe_load((ROOT / dry_run.PAPER).read_text())
    study = Study(read_config(dry_run.larger(values, seeds, arms), []))
    assert len(study.config.pretrain.seeds) == seeds and len(study.arms) - len(study.arms.floors) == 4 * arms
    assert len(study.chains.milestones) == 4 * arms, "arms share no checkpoints"


def test_commands_list_the_jobs_of_their_studies(tmp_path):
    folder = StudyFolder.fresh(tmp_path / "study")
    listed = [dry_run.jobs(folder, *command) for command in dry_run.commands(folder, seeds=10, arms=2).values()]
    # The paper's study has 8 jobs for data, 5 seeds x 4 steps, 18 checkpoints x 4 targets, 4 arms x 4 targets, and the
    # table. With ten seeds, 10 + 10 + 8 + 10 checkpoints are read. Floors: a network per seed and the projection, whose
    # features are extracted on the three targets that are not the source; 4 untrained arms and the projection are
    # probed there. Arms that differ in steps share their floors.
    floors, of_ten_seeds = 6 + 6 * 3 + 5 * 3, 11 + 11 * 3 + 5 * 3
    assert listed[:2] == [0, 0]
    assert listed[2] == 8 + 5 * 4 + 18 * 4 + 4 * 4 + 1 + floors
    assert listed[3] == 8 + 10 * 4 + 38 * 4 + 4 * 4 + 1 + of_ten_seeds
    assert listed[4] == 8 + 2 * (20 + 72 + 16) + 1 + floors
