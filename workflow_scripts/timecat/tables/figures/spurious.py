"""Draw the figure of spurious features: average and worst-group accuracy of each arm, and contrasts, per data set."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.contrasts import Comparisons
from workflow_scripts.timecat.tables.figures.drawing import (
    FLOOR,
    SETTINGS,
    ZERO_LINE,
    constrained_figure,
    ends_of,
    floor_handles,
    svg_of,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, DataSet, Style
from workflow_scripts.timecat.tables.predicted import SELECTION
from workflow_scripts.timecat.tables.spurious import AVERAGE, TITLES, WORST, column_name
from workflow_scripts.timecat.tables.worth import WARNINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS: dict[str, dict[str, Any]] = {
    AVERAGE: {"color": "#0072B2", "marker": "o", "markerfacecolor": "white", "label": "average"},
    WORST: {"color": "#D55E00", "marker": "s", "label": "worst group"},
}
LINE = 0.3  # height of an arm's line, in inches
DODGE = 0.13  # distance of each quantity from the middle of its line, in lines, so that bars do not overlap


def spurious_figure(
    rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style, compared: Comparisons
) -> bytes:
    """Return the SVG with a line for each arm: accuracies above, and contrasts with the baseline below, if any.

    Bars of accuracies are one standard deviation, and bars of contrasts are 95 % intervals.
    """
    import matplotlib
    from matplotlib.lines import Line2D

    others = [row for row in rows if row.arm.name != compared.baseline]
    heights = [LINE * len(some) for some in (rows, others) if some]
    size = 1.2 * style.width_per_panel * len(data_sets) + 0.8, sum(heights) + 0.9 * len(heights) + 0.4
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size)
        panels = figure.subplots(
            len(heights), len(data_sets), squeeze=False, sharex="row", sharey="row", height_ratios=heights
        )
        for number, data_set in enumerate(data_sets):
            _draw(panels[0, number], rows, data_set, _of_accuracy)
            _draw_floors(panels[0, number], rows, data_set)
            panels[0, number].set_title(f"trained on\n{data_set.title}{_warning(data_set, compared)}")
            panels[0, number].set_xlabel("accuracy (%)")
            for panel in panels[1:, number]:
                panel.axvline(0, **ZERO_LINE)
                _draw(panel, others, data_set, lambda row, column: _of_contrast(row, column, compared))
                panel.set_xlabel(f"difference from {compared.baseline} (points)")
        for (first, *_), some in zip(panels, (rows, others)):
            first.set_yticks(range(len(some)), [row.arm.name for row in some])
            first.set_ylim(len(some) - 0.5, -0.5)
        said = "\ncontrasts: 95 % interval, if there is one" if others else ""
        figure.supxlabel(f"bars: one standard deviation of replicates{said}", fontsize=8)
        handles = [Line2D([], [], linestyle="none", **look) for look in LOOKS.values()]
        handles += floor_handles(compared.targets)
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
        return svg_of(figure, "Average and worst group's accuracy")


def _warning(data_set: DataSet, compared: Comparisons) -> str:
    """Return a line for each quantity that is or may be uninformative on a data set, or ""."""
    titles = {column_name(data_set.name, quantity): title for quantity, title in TITLES.items()}
    found = [
        f"\n({titles[target.data_set.name]}: {WARNINGS[target.verdict]})"
        for target in compared.targets
        if target.selection == SELECTION and target.data_set.name in titles and target.verdict in WARNINGS
    ]
    return "".join(found)


Point = tuple[float, tuple[float, float]]  # a value, and the lengths of its bar below and above


def _of_accuracy(row: AccuracyRow, column: str) -> Point:
    summary = row.summaries[column, SELECTION]
    return summary.mean, (summary.std or 0.0,) * 2


def _of_contrast(row: AccuracyRow, column: str, compared: Comparisons) -> Point:
    found = compared.gain(row.arm.name, column, SELECTION)
    assert found is not None, (row.arm.name, column)
    return found.contrast.mean, ends_of(found.contrast)


def _draw(
    panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, point: Callable[[AccuracyRow, str], Point]
) -> None:
    """Draw both quantities of each arm."""
    for place, row in enumerate(rows):
        for sign, (quantity, look) in zip((-1, 1), LOOKS.items()):
            value, (low, high) = point(row, column_name(data_set.name, quantity))
            looks = {key: value for key, value in look.items() if key != "label"}
            panel.errorbar([value], [place + sign * DODGE], xerr=[[low], [high]], capsize=2, linestyle="none", **looks)
    panel.grid(axis="x", color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)


def _draw_floors(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet) -> None:
    """Draw the floor (untrained networks) of each arm, for both quantities."""
    for place, row in enumerate(rows):
        for sign, (quantity, look) in zip((-1, 1), LOOKS.items()):
            floor = row.floors.get((column_name(data_set.name, quantity), SELECTION))
            if floor is not None:
                panel.plot(
                    [floor.mean], [place + sign * DODGE], **FLOOR | {"linestyle": "none", "color": look["color"]}
                )
