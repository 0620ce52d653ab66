"""Draw the figure of a table of arms: a line per arm with accuracies, published figures and contrasts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.contrasts import NOTHING, Comparisons
from workflow_scripts.timecat.tables.figures.drawing import (
    CEILING,
    FLOOR,
    IN_DISTRIBUTION,
    LOOKS,
    SETTINGS,
    ZERO_LINE,
    ends_of,
    n_columns,
    selections_legend,
    short_steps,
    stacked_figure,
    svg_of,
    titled,
    worth_handles,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, DataSet, Style
from workflow_scripts.timecat.tables.table import parameters_text
from workflow_scripts.timecat.tables.worth import worth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.3  # height of an arm's line, in inches
DODGE = 0.13  # distance of each selection from the middle of its line, in lines
PUBLISHED: dict[str, Any] = {
    "color": "black",
    "marker": "D",
    "markerfacecolor": "none",
    "markersize": 4,
    "linestyle": "none",
}


def arms_figure(
    rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style, compared: Comparisons = NOTHING
) -> bytes:
    """Return the SVG of each arm's mean accuracy (percent), with contrasts with the baseline below if there are any.

    Bars of accuracies are one standard deviation. Bars of contrasts are their intervals, if they have one.
    """
    import matplotlib
    from matplotlib.lines import Line2D

    others = [row for row in rows if row.arm.name != compared.baseline] if compared.rows else []
    heights = [LINE * len(some) + 0.75 for some in (rows, others) if some]
    with matplotlib.rc_context(SETTINGS):
        figure, stacks = stacked_figure(len(data_sets), heights, style)
        is_published = [_draw_panel(stack[0], rows, data_set, compared) for stack, data_set in zip(stacks, data_sets)]
        for stack, data_set in zip(stacks, data_sets):
            stack[0].set_xlabel("top-1 accuracy (%)")
            for panel in stack[1:]:
                _draw_contrasts(panel, others, data_set, compared)
        for stack in stacks[:: n_columns(figure)]:
            for panel, some in zip(stack, (rows, others)):
                panel.set_yticks(range(len(some)), [_label(row.arm) for row in some])
        said = "\ncontrasts: 95 % interval, if there is one" if compared.rows else ""
        figure.supxlabel(f"bars: one standard deviation of replicates{said}", fontsize=8)
        more = [Line2D([], [], label="published", **PUBLISHED)] if any(is_published) else []
        selections_legend(figure, *more, *worth_handles(compared.targets))
        return svg_of(figure, "Accuracy of arms")


def _draw_contrasts(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, compared: Comparisons) -> None:
    """Draw a data set's contrasts of all arms except the baseline."""
    panel.axvline(0, **ZERO_LINE)
    for sign, (selection, look) in zip((-1, 1), LOOKS.items(), strict=True):
        for place, row in enumerate(rows):
            gain = compared.gain(row.arm.name, data_set.name, selection)
            if gain is None:
                continue
            low, high = ends_of(gain.contrast)
            panel.errorbar(
                [gain.contrast.mean],
                [place + sign * DODGE],
                xerr=[[low], [high]],
                capsize=2,
                elinewidth=1,
                **look | {"linestyle": "none"},
            )
    panel.set_xlabel(f"difference from\n{compared.baseline} (points)")
    if data_set.in_distribution:
        panel.set_facecolor(IN_DISTRIBUTION)
    _set_lines(panel, rows)


def _draw_panel(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, compared: Comparisons) -> bool:
    """Draw a data set's accuracies, and return whether it has published figures."""
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
    worth = worth_of(compared.targets, data_set)
    if worth is not None:
        floors = {each.arm.name: each.floor for each in worth.comparisons}
        at = [(floors[row.arm.name], place) for place, row in enumerate(rows) if row.arm.name in floors]
        if at:
            panel.plot(*zip(*at), **FLOOR | {"linestyle": "none"})
        if worth.ceiling is not None:
            panel.axvline(worth.ceiling, **CEILING)
    titled(panel, data_set, worth)
    _set_lines(panel, rows)
    return bool(published)


def _set_lines(panel: "Axes", rows: Sequence[AccuracyRow]) -> None:
    """Set ticks and limits of the axis of arms, one line per arm."""
    panel.set_yticks(range(len(rows)), [""] * len(rows))
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.margins(x=0.08)
    panel.grid(axis="x", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)


def _label(arm: Arm) -> str:
    """Return an arm's tick label: name, members × steps, and number of parameters if counted."""
    parameters = "" if arm.parameters is None else f", {parameters_text(arm.parameters)}"
    return f"{arm.name}\n{arm.members} × {short_steps(arm)}{parameters}"
