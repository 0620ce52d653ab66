"""The figure of the grid: mean accuracy by members and steps, a heat map per data set and selection."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.figures.drawing import SETTINGS, constrained_figure, short_number, svg_of
from workflow_scripts.timecat.tables.model import AccuracyRow, DataSet, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "cividis"  # light is better, to the colour-blind too
FRAME: dict[str, Any] = {"edgecolor": "#D55E00", "facecolor": "none", "linewidth": 1.6}
CELL = 0.36  # inches of height


def grid_figure(rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style) -> bytes:
    """Return the SVG of heat maps: data sets side by side, each with a scale of its own for both selections, one below the other.

    A cell that no row is of stays empty. The arm of a row that is ``in_table``, in table 2, is framed.
    """
    import matplotlib
    from matplotlib.patches import Patch

    members = sorted({row.arm.members for row in rows})
    steps = sorted({row.arm.single_steps or 0 for row in rows})
    size = style.width_per_panel * len(data_sets), 2 * (CELL * len(members) + 0.6) + 0.8
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size)
        panels = figure.subplots(len(SELECTIONS), len(data_sets), squeeze=False, sharex=True, sharey=True)
        for column, data_set in enumerate(data_sets):
            means = [row.summaries[data_set.name, name].mean for row in rows for name in SELECTIONS]
            limits = min(means), max(means)
            for panel, selection in zip(panels[:, column], SELECTIONS):
                _draw_map(panel, rows, (members, steps), (data_set.name, selection), limits)
            mark = "\n(in distribution)" if data_set.in_distribution else ""
            panels[0, column].set_title(data_set.title + mark)
        for panel, selection in zip(panels[:, 0], SELECTIONS):
            panel.set_yticks(range(len(members)), members)
            panel.set_ylabel(f"selection {selection}\n\nmembers")
        for panel in panels[-1]:
            panel.set_xticks(range(len(steps)), [short_number(each) for each in steps])
        figure.supxlabel(
            "steps of each member\nmean top-1 accuracy (%), below it one standard deviation over replicates", fontsize=8
        )
        if any(row.arm.in_table for row in rows):
            handle = Patch(label="arm of table 2: the budget divided", **FRAME)
            figure.legend(handles=[handle], loc="outside upper center", frameon=False)
        return svg_of(figure, "Accuracy by members and steps")


def _draw_map(
    panel: "Axes",
    rows: Sequence[AccuracyRow],
    axes: tuple[list[int], list[int]],
    key: tuple[str, str],
    limits: tuple[float, float],
) -> None:
    """Draw one heat map.

    axes: numbers of members and of steps; key: data set's name and selection; limits: of the colours, in percent.
    """
    import matplotlib
    from matplotlib.patches import Rectangle

    members, steps = axes
    colours, (low, high) = matplotlib.colormaps[COLOURS], limits
    for row in rows:
        y, x = members.index(row.arm.members), steps.index(row.arm.single_steps or 0)
        summary = row.summaries[key]
        level = (summary.mean - low) / (high - low or 1.0)
        panel.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colours(level), edgecolor="white", linewidth=0.8))
        spread = "n = 1" if summary.std is None else f"± {summary.std:.1f}"
        colour = "white" if level < 0.5 else "black"
        panel.text(x, y - 0.14, f"{summary.mean:.1f}", ha="center", va="center", color=colour, fontsize=7)
        panel.text(x, y + 0.24, spread, ha="center", va="center", color=colour, fontsize=5)
        if row.arm.in_table:
            panel.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, zorder=3, **FRAME))
    panel.set_xlim(-0.5, len(steps) - 0.5)
    panel.set_ylim(len(members) - 0.5, -0.5)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
