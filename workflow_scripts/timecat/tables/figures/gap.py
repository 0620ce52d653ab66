"""Draw the figure of a table of gaps: each arm on each component, and its contrasts with arms trained on it alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow_scripts.timecat.tables.contrasts import GAIN, ON_TARGET, Comparisons
from workflow_scripts.timecat.tables.figures.drawing import (
    FLOOR,
    SETTINGS,
    ZERO_LINE,
    constrained_figure,
    ends_of,
    floor_handles,
    svg_of,
)
from workflow_scripts.timecat.tables.gap import MEAN
from workflow_scripts.timecat.tables.model import DIRECT, AccuracyRow, Arm, DataSet, Style
from workflow_scripts.timecat.tables.predicted import SELECTION
from workflow_scripts.timecat.tables.worth import WARNINGS, worth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Look = tuple[str, str]  # colour and marker

# Okabe and Ito's colours, distinct to the colour-blind, and markers.
LOOKS = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P")]
OWN_LOOKS = [
    ("0.25", "X"),
    ("0.55", "P"),
    ("0.25", "d"),
    ("0.55", "o"),
]  # looks of arms that are trained on a component alone
LINE = 0.19  # height of an arm on a component, in inches
DODGE = 0.7  # share of a component's height that its arms take
KINDS = (GAIN, ON_TARGET)  # kinds of contrasts, with a panel for each that the table has


def gap_figure(
    rows: Sequence[AccuracyRow], columns: Sequence[DataSet], metric_title: str, style: Style, compared: Comparisons
) -> bytes:
    """Return the SVG with a group of arms for each component: the metric, and to its right the contrasts by kind.

    Bars of the metric are one standard deviation, and bars of contrasts are 95 % intervals. columns: components and
    MEAN.
    """
    import matplotlib

    looks = _looks([row.arm for row in rows])
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in compared.rows)]
    size = 1.35 * style.width_per_panel * (1 + len(kinds)), LINE * len(rows) * len(columns) + 1.2
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size, w_pad=0.06)
        left, *others = figure.subplots(1, 1 + len(kinds), sharey=True, squeeze=False)[0]
        for middle, column in enumerate(columns):
            for number, row in enumerate(rows):
                place = middle + DODGE * ((number + 0.5) / len(rows) - 0.5)
                look = looks[row.arm.name]
                summary = row.summaries[column.name, SELECTION]
                _point(left, summary.mean, (summary.std or 0.0,) * 2, place, look)
                if (floor := row.floors.get((column.name, SELECTION))) is not None:
                    left.plot([floor.mean], [place], **FLOOR | {"linestyle": "none", "color": look[0]})
                for kind, panel in zip(kinds, others):
                    found = compared.of_kind(kind, row.arm.name, column.name, SELECTION)
                    if found is not None:
                        _point(panel, found.contrast.mean, ends_of(found.contrast), place, look)
        for panel in (left, *others):
            _shade_mean(panel, columns)
            panel.tick_params(axis="y", length=0)
        left.set_yticks(range(len(columns)), [_title(column, compared) for column in columns])
        left.set_ylim(len(columns) - 0.5, -0.5)
        left.set_xlabel(f"{metric_title}\nbars: one standard deviation of replicates")
        for kind, panel in zip(kinds, others):
            panel.axvline(0, **ZERO_LINE)
            panel.set_xlabel(
                f"difference from {_baselines(compared, kind)} (points)\nbars: 95 % interval over seeds, if there is one"
            )
        handles = [_handle(row.arm.name, looks[row.arm.name]) for row in rows]
        handles += floor_handles(compared.targets)
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False)
        return svg_of(figure, "Direct or transferred")


def _title(column: DataSet, compared: Comparisons) -> str:
    """Return a component's title, with a warning if it is or may be uninformative."""
    if column == MEAN:
        return "mean over components"
    worth = worth_of(compared.targets, column)
    return column.title + (f"\n({WARNINGS[worth.verdict]})" if worth is not None and worth.verdict in WARNINGS else "")


def _baselines(compared: Comparisons, kind: str) -> str:
    return ", ".join(dict.fromkeys(row.baseline for row in compared.rows if row.kind == kind))


def _shade_mean(panel: "Axes", columns: Sequence[DataSet]) -> None:
    """Shade the group of the mean over components."""
    panel.axhspan(len(columns) - 1.5, len(columns) - 0.5, color="#F1F1EC", zorder=-1)


def _looks(arms: Sequence[Arm]) -> dict[str, Look]:
    """Return each arm's colour and marker by name, in grey for arms that are trained on a component alone."""
    looks: dict[str, Look] = {}
    for wanted, own in ((True, OWN_LOOKS), (False, LOOKS)):
        names = [arm.name for arm in arms if (arm.transfer == DIRECT or arm.on_target) is wanted]
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
