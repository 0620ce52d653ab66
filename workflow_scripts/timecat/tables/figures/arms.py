"""The figure of a table of arms: a line per arm, a panel per data set, both selections, published figures beside them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.figures.drawing import (
    CEILING,
    FLOOR,
    LOOKS,
    SETTINGS,
    n_columns,
    new_figure,
    selections_legend,
    short_steps,
    svg_of,
    titled,
    worth_handles,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, DataSet, Style
from workflow_scripts.timecat.tables.table import parameters_text
from workflow_scripts.timecat.tables.worth import Target, worth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.3  # inches of height of an arm
DODGE = 0.13  # of a line: how far each selection stands from its middle
PUBLISHED: dict[str, Any] = {
    "color": "black",
    "marker": "D",
    "markerfacecolor": "none",
    "markersize": 4,
    "linestyle": "none",
}


def arms_figure(
    rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style, targets: Sequence[Target] = ()
) -> bytes:
    """Return the SVG of mean accuracy (percent) of each arm; bars are one standard deviation, where there is one.

    targets: what the numbers are worth: floors and ceilings are drawn, and a target that is uninformative says so.
    """
    import matplotlib
    from matplotlib.lines import Line2D

    with matplotlib.rc_context(SETTINGS):
        sized = replace(style, height=LINE * len(rows) + 0.5)
        figure, panels = new_figure(len(data_sets), sized, margin=0.6)
        is_published = [
            _draw_panel(panel, rows, data_set, worth_of(targets, data_set))
            for panel, data_set in zip(panels, data_sets)
        ]
        for panel in panels[:: n_columns(figure)]:
            panel.set_yticks(range(len(rows)), [_label(row.arm) for row in rows])
        figure.supxlabel("top-1 accuracy (%); bars: one standard deviation", fontsize=8)
        more = [Line2D([], [], label="published", **PUBLISHED)] if any(is_published) else []
        selections_legend(figure, *more, *worth_handles(targets))
        return svg_of(figure, "Accuracy of arms")


def _draw_panel(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, worth: Target | None) -> bool:
    """Draw a data set's panel; return whether there are published figures on it."""
    for sign, (selection, look) in zip((-1, 1), LOOKS.items(), strict=True):
        summaries = [row.summaries[data_set.name, selection] for row in rows]
        panel.errorbar(
            [summary.mean for summary in summaries],
            [place + sign * DODGE for place in range(len(rows))],
            xerr=[math.nan if summary.std is None else summary.std for summary in summaries],
            capsize=2,
            elinewidth=1,
            **look | {"linestyle": "none"},
        )
    published = [
        (row.arm.published[data_set.name], place)
        for place, row in enumerate(rows)
        if data_set.name in row.arm.published
    ]
    if published:
        panel.plot(*zip(*published), **PUBLISHED)
    if worth is not None:
        floors = {each.arm: each.floor for each in worth.comparisons}
        at = [(floors[row.arm.name], place) for place, row in enumerate(rows) if row.arm.name in floors]
        if at:
            panel.plot(*zip(*at), **FLOOR | {"linestyle": "none"})
        if worth.ceiling is not None:
            panel.axvline(worth.ceiling, **CEILING)
    titled(panel, data_set, worth)
    panel.set_yticks(range(len(rows)), [""] * len(rows))
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.margins(x=0.08)
    panel.grid(axis="x", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)
    return bool(published)


def _label(arm: Arm) -> str:
    """Return the name, members × steps, and parameters where they are counted."""
    parameters = "" if arm.parameters is None else f", {parameters_text(arm.parameters)}"
    return f"{arm.name}\n{arm.members} × {short_steps(arm)}{parameters}"
