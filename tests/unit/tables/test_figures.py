"""Every figure of a table draws error bars whose lengths are the standard deviation or the interval."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.tables import arms_of, data_sets_of, style_of
from tests.unit.counterexample.test_runs import SMALL, made_up
from workflow_scripts.timecat.measures.calibration import Measured
from workflow_scripts.timecat.measures.contrasts import Contrast
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.contrasts import GAIN, ON_TARGET, Comparisons, ContrastRow
from workflow_scripts.timecat.tables.figures import accuracies, calibration, counterexample, gap, grid, spurious
from workflow_scripts.timecat.tables.figures import arms as arms_figure
from workflow_scripts.timecat.tables.gap import MEAN
from workflow_scripts.timecat.tables.model import Row, Summary
from workflow_scripts.timecat.tables.spurious import AVERAGE, WORST, column_name
from workflow_scripts.timecat.tables.worth import Comparison, Target

STYLE = style_of({"width_per_panel": 2.4, "height": 2.6})
DATA_SETS = data_sets_of([{"name": "own", "title": "Own", "in_distribution": True}])
ARMS = arms_of([{"name": f"cat{k}", "members": k, "steps": 8 // k, "transfer": "probe"} for k in (1, 2)])
STD = 1.375


@pytest.fixture
def bars(monkeypatch) -> list[float]:
    """Lengths of all error bars that are drawn."""
    from matplotlib.axes import Axes

    found, draw = [], Axes.errorbar

    def errorbar(self, *places, xerr=None, yerr=None, **looks):
        found.extend(np.ravel([error for error in (xerr, yerr) if error is not None]).tolist())
        return draw(self, *places, xerr=xerr, yerr=yerr, **looks)

    monkeypatch.setattr(Axes, "errorbar", errorbar)
    return found


def rows(keys) -> list[Row]:
    return [Row(arm, 3, {("own", *key): Summary(50.0, STD, 3) for key in keys}) for arm in ARMS]


def test_bars_of_accuracies_are_the_standard_deviation(bars):
    of_selections = rows([(selection,) for selection in SELECTIONS])
    accuracies.members_figure(of_selections, DATA_SETS, STYLE)
    assert bars == [STD] * 4
    arms_figure.arms_figure(of_selections, DATA_SETS, STYLE)
    assert bars == [STD] * 8


def test_bars_of_contrasts_are_the_interval(bars):
    """Bars reach to both ends of the interval, for both selections. Without an interval there is no bar."""
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


def test_the_figure_of_worst_groups_has_bars(bars):
    """The figure shows accuracies, and below them contrasts with the baseline."""
    columns = [column_name("own", quantity) for quantity in (AVERAGE, WORST)]
    found = [Row(arm, 3, {(column, "holdout"): Summary(50.0, STD, 3) for column in columns}) for arm in ARMS]
    gain = Contrast(2.0, 0.5, 4.0, 5, 5, "t")
    gains = [ContrastRow(GAIN, ARMS[1], column, "holdout", "cat1", gain) for column in columns]
    spurious.spurious_figure(found, DATA_SETS, STYLE, Comparisons("cat1", gains, frozenset()))
    assert bars == [STD] * 8 + [pytest.approx((gain.interval[1] - gain.interval[0]) / 2)] * 4
    bars.clear()
    spurious.spurious_figure(found[:1], DATA_SETS, STYLE, Comparisons("cat1", (), frozenset()))
    assert bars == [STD] * 4, "a single arm is compared with nothing"


def test_figures_of_gaps_and_worst_groups_mark_uninformative_targets(monkeypatch):
    from matplotlib.axes import Axes

    said = []
    monkeypatch.setattr(Axes, "set_title", lambda self, text, **looks: said.append(text))
    monkeypatch.setattr(Axes, "set_yticks", lambda self, places, labels: said.extend(labels))
    column = replace(DATA_SETS[0], name=column_name("own", WORST), title="Own: worst group", in_distribution=False)
    flat = Contrast(0.1, 0.01, 4.0, 5, 5, "t")
    for each, draw in ((column, spurious.spurious_figure), (DATA_SETS[0], gap.gap_figure)):
        target = Target(each, "holdout", (Comparison(ARMS[0], 20.0, 20.0, flat),), None, 90.0)
        assert target.verdict == "uninformative"
        compared = Comparisons("cat1", (), frozenset(), [target])
        columns = [column_name("own", AVERAGE), column.name, "own"]
        found = [Row(ARMS[0], 3, {(name, "holdout"): Summary(50.0, STD, 3) for name in columns})]
        title = ("accuracy (%)",) if draw is gap.gap_figure else ()
        draw(found, DATA_SETS, *title, STYLE, compared)
    assert "trained on\nOwn\n(worst group: uninformative)" in said and "Own\n(uninformative)" in said


def test_the_figure_of_gaps_has_bars(bars):
    """The metric and the contrasts have bars."""
    columns, direct = [*DATA_SETS, MEAN], replace(ARMS[0], name="alone", steps=None, transfer="direct")
    summaries = {(column.name, "holdout"): Summary(50.0, STD, 3) for column in columns}
    gain = Contrast(2.0, 0.5, 4.0, 5, 5, "t")
    gaps = [ContrastRow(GAIN, ARMS[0], column.name, "holdout", "alone", gain) for column in columns]
    found = [Row(arm, 3, summaries) for arm in (ARMS[0], direct)]
    half = pytest.approx((gain.interval[1] - gain.interval[0]) / 2)
    gap.gap_figure(found, columns, "accuracy (%)", STYLE, Comparisons("alone", gaps, frozenset()))
    assert bars == [STD, STD, half, half, STD, STD] * 2
    bars.clear()
    more = [replace(row, kind=ON_TARGET) for row in gaps]
    gap.gap_figure(found, columns, "accuracy (%)", STYLE, Comparisons("alone", [*gaps, *more], frozenset()))
    assert bars == [STD, STD, half, half, half, half, STD, STD] * 2, "another panel, for the other kind of contrasts"


def test_bars_of_calibration_are_the_standard_deviation(bars):
    one = Measured(*[50.0] * 13, worst_group="", worst_segment="")
    other = replace(one, ece=52.0)
    measured = {(arm.name, "own"): dict.fromkeys(SELECTIONS, [one, other]) for arm in ARMS}
    calibration.calibration_figure(measured, ARMS, DATA_SETS, STYLE)
    assert sorted(bars) == pytest.approx([0.0] * 8 + [2**0.5] * 4)


def test_bars_of_the_counterexample_are_the_standard_deviation_over_seeds(bars):
    settings = replace(SMALL, grid=2, networks=["gates"], weight_decays=[0.0], lrs=[0.1])
    setting = made_up("gates", 1, 1, 4)
    setting.dimensions[:, 1] = 2  # one of two seeds keeps one feature
    counterexample.counterexample_figure([setting], settings)
    assert 100 / 2**0.5 in [pytest.approx(bar) for bar in bars]


def test_the_cells_of_the_grid_show_the_standard_deviation():
    """A heat map has no bars, so the cells have the standard deviation as text."""
    arms = [replace(arm, steps=8) for arm in ARMS]
    with_deviation, without = (
        [Row(arm, 3, {("own", selection): Summary(50.0, std, 3) for selection in SELECTIONS}) for arm in arms]
        for std in (STD, None)
    )
    assert grid.grid_figure(with_deviation, DATA_SETS, STYLE) != grid.grid_figure(without, DATA_SETS, STYLE)


def test_the_grid_shows_floors_in_a_separate_column(monkeypatch):
    """Each number of members has one floor, from the arm with most replicates. Without floors there is no column."""
    from matplotlib.axes import Axes

    texts, write = [], Axes.text
    monkeypatch.setattr(
        Axes, "text", lambda self, x, y, text, **looks: (texts.append((x, text)), write(self, x, y, text, **looks))[1]
    )
    arms = [replace(arm, steps=steps) for arm in ARMS for steps in (4, 8)]
    summaries = {("own", selection): Summary(50.0, STD, 3) for selection in SELECTIONS}

    def floors(arm, n):
        return {("own", selection): Summary(10.0 * arm.members + n, 0.5, n) for selection in SELECTIONS}

    def left() -> list[str]:
        return [text for x, text in texts if x < 0]

    without = [Row(arm, 3, summaries) for arm in arms]
    plain = grid.grid_figure(without, DATA_SETS, STYLE)
    assert left() == []
    grid.grid_figure([replace(row, floors=floors(row.arm, row.arm.steps)) for row in without], DATA_SETS, STYLE)
    assert left() == ["18.0", "± 0.5", "28.0", "± 0.5"] * 2
    assert grid.grid_figure(without, DATA_SETS, STYLE) == plain
