"""The figure of a table of gaps: each arm on each component, and how far it stays behind direct training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow_scripts.timecat.tables.figures.drawing import SETTINGS, constrained_figure, svg_of
from workflow_scripts.timecat.tables.gap import MEAN, SELECTION, GapRow
from workflow_scripts.timecat.tables.model import DIRECT, Arm, DataSet, Interval, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Look = tuple[str, str]  # colour and marker

# Okabe and Ito's colours, distinct to the colour-blind; shapes tell apart what colours do not.
LOOKS = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P")]
DIRECT_LOOKS = [("0.25", "x"), ("0.55", "P"), ("0.25", "d")]
LINE = 0.19  # inches of height of an arm on a component
DODGE = 0.7  # share of a component's height that its arms take


def gap_figure(rows: Sequence[GapRow], data_sets: Sequence[DataSet], metric_title: str, style: Style) -> bytes:
    """Return the SVG: arms for each component; left the metric (bars: one standard deviation), right the gap (95 %)."""
    import matplotlib

    arms = list({row.arm.name: row.arm for row in rows}.values())
    titles = {each.name: each.title for each in data_sets} | {MEAN: "mean of all"}
    looks = _looks(arms)
    height = LINE * len(arms) * len(titles) + 1.2
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure((1.35 * style.width_per_panel * 2, height), w_pad=0.06)
        left, right = figure.subplots(1, 2, sharey=True)
        right.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        order = [arm.name for arm in arms]
        for row in rows:
            middle = list(titles).index(row.component)
            place = middle + DODGE * ((order.index(row.arm.name) + 0.5) / len(arms) - 0.5)
            look = looks[row.arm.name]
            summary = row.summaries[SELECTION]
            _point(left, summary.mean, (summary.std or 0.0,) * 2, place, look)
            if (gap := row.gaps.get(SELECTION)) is not None:
                _point(right, gap.mean, _ends(gap), place, look)
        for panel in (left, right):
            panel.axhspan(len(titles) - 1.5, len(titles) - 0.5, color="#F1F1EC", zorder=-1)
            panel.tick_params(axis="y", length=0)
        left.set_yticks(range(len(titles)), list(titles.values()))
        left.set_ylim(len(titles) - 0.5, -0.5)
        left.set_xlabel(f"{metric_title}\nbars: one standard deviation")
        right.set_xlabel("gap: direct minus transferred (points)\nbars: 95 % interval")
        handles = [_handle(arm.name, looks[arm.name]) for arm in arms]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(arms)), frameon=False)
        return svg_of(figure, "Direct or transferred")


def _ends(gap: Interval) -> tuple[float, float]:
    """Return how far an interval reaches below and above its mean."""
    if gap.low is None or gap.high is None:
        return 0.0, 0.0
    return gap.mean - gap.low, gap.high - gap.mean


def _looks(arms: Sequence[Arm]) -> dict[str, Look]:
    """Return colour and marker of each arm, by name: grey ones are direct."""
    looks: dict[str, Look] = {}
    for wanted, own in ((True, DIRECT_LOOKS), (False, LOOKS)):
        names = [arm.name for arm in arms if (arm.transfer == DIRECT) is wanted]
        looks |= {name: own[number % len(own)] for number, name in enumerate(names)}
    return looks


def _point(panel: "Axes", value: float, ends: tuple[float, float], place: float, look: Look) -> None:
    colour, marker = look
    panel.errorbar(
        [value], [place], xerr=[[ends[0]], [ends[1]]], color=colour, marker=marker, linestyle="none", capsize=2
    )


def _handle(name: str, look: Look) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=name, color=look[0], marker=look[1], linestyle="none")
