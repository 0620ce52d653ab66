"""Draw the figure of the grid: heat maps of mean accuracy by members and steps, per data set and selection."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.figures.drawing import FLOOR, SETTINGS, constrained_figure, short_number, svg_of
from workflow_scripts.timecat.tables.model import AccuracyRow, DataSet, Style, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "cividis"  # lighter is better; suitable for colour-blind readers
FRAME: dict[str, Any] = {"edgecolor": "#D55E00", "facecolor": "none", "linewidth": 1.6}
# Floors have a separate column without colours, because they would stretch the scale of colours.
FLOOR_CELL: dict[str, Any] = {
    "edgecolor": FLOOR["color"],
    "facecolor": "none",
    "linestyle": FLOOR["linestyle"],
    "linewidth": FLOOR["linewidth"],
}
UNTRAINED = -1  # position of the floors' column
CELL = 0.36  # height of a cell, in inches


def grid_figure(rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style) -> bytes:
    """Return the SVG of heat maps: data sets side by side, selections one below the other.

    Each data set has one scale of colours for both selections. Cells without a row are empty. Cells of arms of table 2
    (``in_table``) are framed. Floors are drawn to the left, at 0 steps.
    """
    import matplotlib
    from matplotlib.patches import Patch

    members = sorted({row.arm.members for row in rows})
    steps = sorted({row.arm.single_steps or 0 for row in rows})
    has_floors = any(row.floors for row in rows)
    size = style.width_per_panel * len(data_sets), 2 * (CELL * len(members) + 0.6) + 0.8
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size)
        panels = figure.subplots(len(SELECTIONS), len(data_sets), squeeze=False, sharex=True, sharey=True)
        for column, data_set in enumerate(data_sets):
            means = [row.summaries[data_set.name, name].mean for row in rows for name in SELECTIONS]
            limits = min(means), max(means)
            for panel, selection in zip(panels[:, column], SELECTIONS):
                _draw_map(panel, rows, (members, steps), (data_set.name, selection), limits)
                if has_floors:
                    _draw_floors(panel, rows, members, (data_set.name, selection))
            mark = "\n(in distribution)" if data_set.in_distribution else ""
            panels[0, column].set_title(data_set.title + mark)
        for panel, selection in zip(panels[:, 0], SELECTIONS):
            panel.set_yticks(range(len(members)), members)
            panel.set_ylabel(f"selection {selection}\n\nmembers")
        for panel in panels[-1]:
            ticks = {UNTRAINED: "0"} if has_floors else {}
            ticks |= {place: short_number(each) for place, each in enumerate(steps)}
            panel.set_xticks(list(ticks), list(ticks.values()))
        figure.supxlabel(
            "steps of each member\ncells: mean top-1 accuracy (%), below it one standard deviation over replicates",
            fontsize=8,
        )
        handles = (
            [Patch(label="arm of table 2 (the budget is divided)", **FRAME)]
            if any(r.arm.in_table for r in rows)
            else []
        )
        handles += [Patch(label="floor (untrained)", **FLOOR_CELL)] if has_floors else []
        if handles:
            figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
        return svg_of(figure, "Accuracy by members and steps")


def _draw_map(
    panel: "Axes",
    rows: Sequence[AccuracyRow],
    axes: tuple[list[int], list[int]],
    key: tuple[str, str],
    limits: tuple[float, float],
) -> None:
    """Draw one heat map.

    axes: numbers of members and of steps. key: data set's name and selection. limits: range of the colours, in percent.
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
        _write(panel, summary, (x, y), "white" if level < 0.5 else "black")
        if row.arm.in_table:
            panel.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, zorder=3, **FRAME))
    panel.set_xlim(-0.5, len(steps) - 0.5)
    panel.set_ylim(len(members) - 0.5, -0.5)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _draw_floors(panel: "Axes", rows: Sequence[AccuracyRow], members: list[int], key: tuple[str, str]) -> None:
    """Draw the floor of each number of members, from the arm with the most replicates.

    These replicates include the replicates of the other arms with as many members. key: data set's name and selection.
    """
    from matplotlib.patches import Rectangle

    panel.set_xlim(UNTRAINED - 0.6, panel.get_xlim()[1])
    for y, number in enumerate(members):
        floors = [row.floors[key] for row in rows if row.arm.members == number and key in row.floors]
        if floors:
            panel.add_patch(Rectangle((UNTRAINED - 0.52, y - 0.44), 0.92, 0.88, **FLOOR_CELL))
            _write(panel, max(floors, key=lambda floor: floor.n), (UNTRAINED - 0.06, y), "0.25")


def _write(panel: "Axes", summary: Summary, place: tuple[float, float], colour: str) -> None:
    """Write a mean, and below it its standard deviation, into a cell."""
    x, y = place
    spread = "n = 1" if summary.std is None else f"± {summary.std:.1f}"
    panel.text(x, y - 0.14, f"{summary.mean:.1f}", ha="center", va="center", color=colour, fontsize=7)
    panel.text(x, y + 0.24, spread, ha="center", va="center", color=colour, fontsize=5)
