"""Tests of benchmarks.converged: both solvers agree, and the table has a line for each. No time is tested."""

import numpy as np
import pytest

from benchmarks import converged
from benchmarks.stacked_heads import data_of, made_features
from workflow_scripts.timecat.config.probe import Probe

pytestmark = pytest.mark.usefixtures("one_thread")


def test_both_solvers_converge_to_the_same_accuracy():
    features, labels, train = made_features(600, 300, 20, 4, 10)
    data = data_of(labels, train)
    ours = converged.probed(features, data, Probe(solver="lbfgs", weight_decays=converged.GRID).protocol())
    theirs = converged.by_scikit_learn(features, data, np.float64)
    assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.4)
    assert max(ours.gradient, theirs.gradient) < 1e-4


def test_the_table_has_a_line_for_each_contender():
    lines = converged.table(cases=((200, 12),), evaluation=100)
    assert sum("200 x 12" in line for line in lines) == 4
