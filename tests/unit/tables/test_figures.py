"""Every figure of a table has error bars: what matplotlib is told of them is the deviation, or the interval."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.tables import arms_of, data_sets_of, style_of
from tests.unit.counterexample.test_runs import SMALL, made_up
from workflow_scripts.timecat.measures.calibration import Measured
from workflow_scripts.timecat.measures.contrasts import Contrast
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.contrasts import GAIN, Comparisons, ContrastRow
from workflow_scripts.timecat.tables.figures import accuracies, calibration, counterexample, gap, grid, spurious
from workflow_scripts.timecat.tables.figures import arms as arms_figure
from workflow_scripts.timecat.tables.gap import GapRow
from workflow_scripts.timecat.tables.model import Interval, Row, Summary
from workflow_scripts.timecat.tables.spurious import QUANTITIES

STYLE = style_of({"width_per_panel": 2.4, "height": 2.6})
DATA_SETS = data_sets_of([{"name": "own", "title": "Own", "in_distribution": True}])
ARMS = arms_of([{"name": f"cat{k}", "members": k, "steps": 8 // k, "transfer": "probe"} for k in (1, 2)])
STD = 1.375


@pytest.fixture
def bars(monkeypatch) -> list[float]:
    """The lengths of all bars that are drawn."""
    from matplotlib.axes import Axes

    found, draw = [], Axes.errorbar

    def errorbar(self, *places, xerr=None, yerr=None, **looks):
        found.extend(np.ravel([error for error in (xerr, yerr) if error is not None]).tolist())
        return draw(self, *places, xerr=xerr, yerr=yerr, **looks)

    monkeypatch.setattr(Axes, "errorbar", errorbar)
    return found


def rows(keys) -> list[Row]:
    return [Row(arm, 3, {("own", *key): Summary(50.0, STD, 3) for key in keys}) for arm in ARMS]


def test_of_accuracies(bars):
    of_selections = rows([(selection,) for selection in SELECTIONS])
    accuracies.members_figure(of_selections, DATA_SETS, STYLE)
    assert bars == [STD] * 4
    arms_figure.arms_figure(of_selections, DATA_SETS, STYLE)
    assert bars == [STD] * 8


def test_of_contrasts(bars):
    """A bar to each end of an interval, under both selections; none where there is no interval."""
    gains = Contrast(2.0, 0.5, 4.0, 5, 5, "t"), Contrast(2.0, None, None, 1, 1, "", "one replicate")
    for gain in gains:
        found = [ContrastRow(GAIN, ARMS[1], "own", selection, "cat1", gain) for selection in SELECTIONS]
        compared = Comparisons("cat1", found, frozenset())
        of_selections = rows([(selection,) for selection in SELECTIONS])
        for draw in (accuracies.members_figure, arms_figure.arms_figure):
            bars.clear()
            draw(of_selections, DATA_SETS, STYLE, compared)
            half = pytest.approx((gain.interval[1] - gain.interval[0]) / 2 if gain.interval else math.nan, nan_ok=True)
            assert bars == [STD] * 4 + [half] * 4


def test_of_worst_groups(bars):
    spread = rows([(quantity, selection) for quantity in QUANTITIES for selection in SELECTIONS])
    spurious.spurious_figure(spread, DATA_SETS, STYLE)
    assert bars == [STD] * 4


def test_of_gaps(bars):
    summaries = dict.fromkeys(SELECTIONS, Summary(50.0, STD, 3))
    gaps = dict.fromkeys(SELECTIONS, Interval(4.0, 1.5, 6.75))
    found = [GapRow(ARMS[0], component, summaries, gaps) for component in ("own", "mean")]
    gap.gap_figure(found, DATA_SETS, "accuracy (%)", STYLE)
    assert bars == [STD, STD, 2.5, 2.75] * 2


def test_of_calibration(bars):
    one = Measured(*[50.0] * 13, worst_group="", worst_segment="")
    other = replace(one, ece=52.0)
    measured = {(arm.name, "own"): dict.fromkeys(SELECTIONS, [one, other]) for arm in ARMS}
    calibration.calibration_figure(measured, ARMS, DATA_SETS, STYLE)
    assert sorted(bars) == pytest.approx([0.0] * 8 + [2**0.5] * 4)


def test_of_the_counterexample(bars):
    settings = replace(SMALL, grid=2, networks=["gates"], weight_decays=[0.0], lrs=[0.1])
    setting = made_up("gates", 1, 1, 4)
    setting.dimensions[:, 1] = 2  # one of two seeds keeps one feature
    counterexample.counterexample_figure([setting], settings)
    assert 100 / 2**0.5 in [pytest.approx(bar) for bar in bars]


def test_the_grid_says_them_in_its_cells():
    """A heat map has no bars."""
    arms = [replace(arm, steps=8) for arm in ARMS]
    with_deviation, without = (
        [Row(arm, 3, {("own", selection): Summary(50.0, std, 3) for selection in SELECTIONS}) for arm in arms]
        for std in (STD, None)
    )
    assert grid.grid_figure(with_deviation, DATA_SETS, STYLE) != grid.grid_figure(without, DATA_SETS, STYLE)
