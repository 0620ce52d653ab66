"""Draw accuracy against dimensions, with a curve per arm and method, and below it the contrasts at the same width."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.contrasts import Comparisons
from workflow_scripts.timecat.tables.figures.drawing import (
    CEILING,
    IN_DISTRIBUTION,
    SETTINGS,
    ZERO_LINE,
    ends_of,
    n_columns,
    stacked_figure,
    svg_of,
    titled,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, DataSet, Style
from workflow_scripts.timecat.tables.notes import REDUCED_BY
from workflow_scripts.timecat.tables.width import Curve, curves_of
from workflow_scripts.timecat.tables.worth import SHOWN, worth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Colours of arms in their order, distinct to the colour-blind; markers differ, too.
COLOURS = ("#000000", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "os^Dv<>"
DASHES: dict[str, Any] = {"pca": "-", "random": (0, (3, 2))}
WHOLE: dict[str, Any] = {"marker": "*", "markersize": 9, "markerfacecolor": "white", "linestyle": "none"}
FLOOR: dict[str, Any] = {"linestyle": ":", "linewidth": 1.0, "alpha": 0.75}
DODGE = 0.09  # distance between curves that have bars, as a share of a doubling


def width_figure(
    rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style, compared: Comparisons
) -> bytes:
    """Return the SVG of mean accuracy (percent) against dimensions, and below it contrasts at the same width, if any.

    It shows selection SHOWN. The scale of dimensions is logarithmic. Bars of contrasts are their intervals.
    """
    import matplotlib

    curves = curves_of(rows)
    heights = (1.05 * style.height, 0.8 * style.height) if compared.rows else (1.05 * style.height,)
    with matplotlib.rc_context(SETTINGS):
        figure, stacks = stacked_figure(len(data_sets), heights, style, margin=1.1)
        columns = n_columns(figure)
        for number, ((above, *others), data_set) in enumerate(zip(stacks, data_sets)):
            _draw_accuracies(above, curves, data_set, compared)
            above.tick_params(labelbottom=not others)
            if number % columns == 0:
                above.set_ylabel("top-1 accuracy (%)")
            for below in others:
                _draw_contrasts(below, curves, data_set, compared)
                if number % columns == 0:
                    below.set_ylabel(f"difference from {compared.baseline}\nat the same width (points)")
        said = (
            "\nbars: 95 % interval over seeds, if there is one\n"
            f"stars: difference from {compared.baseline}, both with all features"
        )
        figure.supxlabel(
            f"number of dimensions after reduction (selection {SHOWN})" + (said if compared.rows else ""), fontsize=8
        )
        handles = _handles(curves, compared)
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), columns + 1), frameon=False)
        return svg_of(figure, "Accuracy against dimensions")


def _draw_accuracies(panel: "Axes", curves: Sequence[Curve], data_set: DataSet, compared: Comparisons) -> None:
    key = data_set.name, SHOWN
    whole = {curve.arm.of: curve.rows for curve in curves if curve.method is None}
    for curve in curves:
        # With all dimensions neither method loses anything, so each curve ends at the arm with all features.
        ends = {width: row for width, row in whole[curve.arm.of].items() if width not in curve.rows}
        points = [(width, row.summaries[key].mean) for width, row in sorted((curve.rows | ends).items())]
        panel.plot(*zip(*points), markevery=range(len(curve.rows)), **_look(curve, curves))
        floors = [(width, row.floors[key].mean) for width, row in sorted(curve.rows.items()) if key in row.floors]
        if floors and curve.method is not None:
            panel.plot(*zip(*floors), color=_look(curve, curves)["color"], **FLOOR)
    worth = worth_of(compared.targets, data_set)
    if worth is not None and worth.ceiling is not None:
        panel.axhline(worth.ceiling, **CEILING)
    titled(panel, data_set, worth)
    _set_widths(panel, curves)


def _draw_contrasts(panel: "Axes", curves: Sequence[Curve], data_set: DataSet, compared: Comparisons) -> None:
    panel.axhline(0, **ZERO_LINE)
    others = [curve for curve in curves if curve.arm.of != compared.baseline]
    apart = [curve for curve in others if curve.method is not None]
    for curve in others:
        shift = 2 ** (DODGE * (apart.index(curve) - (len(apart) - 1) / 2)) if curve in apart else 1.0
        found = [
            (width * shift, gain.contrast)
            for width, row in sorted(curve.rows.items())
            if (gain := compared.gain(row.arm.name, data_set.name, SHOWN)) is not None
        ]
        if not found:
            continue
        low, high = zip(*(ends_of(contrast) for _, contrast in found))
        panel.errorbar(
            [place for place, _ in found],
            [contrast.mean for _, contrast in found],
            yerr=[low, high],
            elinewidth=0.8,
            **_look(curve, curves),
        )
    if data_set.in_distribution:
        panel.set_facecolor(IN_DISTRIBUTION)
    _set_widths(panel, curves)


def _look(curve: Curve, curves: Sequence[Curve]) -> dict[str, Any]:
    """Return the look of a curve: its colour and marker by arm, its line by method of reduction."""
    names = list(dict.fromkeys(each.arm.of for each in curves))
    number = names.index(curve.arm.of) % len(COLOURS)
    look: dict[str, Any] = {"color": COLOURS[number]}
    if curve.method is None:
        return look | WHOLE
    light = {} if curve.method == "pca" else {"markerfacecolor": "white", "linewidth": 1.0, "markersize": 3.5}
    return look | {"marker": MARKERS[number], "linestyle": DASHES[curve.method]} | light


def _set_widths(panel: "Axes", curves: Sequence[Curve]) -> None:
    """Set a tick for each doubling of dimensions, and limits that leave room for the widest arm."""
    widths = sorted({width for curve in curves for width in curve.rows})
    least, most = math.floor(math.log2(widths[0])), math.ceil(math.log2(widths[-1]))
    ticks = [2**power for power in range(least, most + 1)]
    panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.set_xlim(widths[0] / 1.3, widths[-1] * 1.3)
    panel.minorticks_off()
    panel.margins(y=0.08)
    panel.grid(axis="y", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)


def _handles(curves: Sequence[Curve], compared: Comparisons) -> "list[Line2D]":
    """Return the legend's handles: arms, then methods, all features, floors and ceiling."""
    from matplotlib.lines import Line2D

    arms = {curve.arm.of: curve for curve in reversed(curves) if curve.method is not None}
    handles = [
        Line2D([], [], label=name, **_look(arms[name], curves) | {"linestyle": "none"}) for name in reversed(arms)
    ]
    methods = dict.fromkeys(curve.method for curve in curves if curve.method is not None)
    handles += [Line2D([], [], color="0.3", linestyle=DASHES[name], label=REDUCED_BY[name]) for name in methods]
    handles.append(Line2D([], [], color="0.3", label="all features", **WHOLE))
    if any(row.floors for curve in curves for row in curve.rows.values()):
        handles.append(Line2D([], [], color="0.3", label="floor (untrained)", **FLOOR))
    if any(target.ceiling is not None for target in compared.targets):
        handles.append(Line2D([], [], label="ceiling", **CEILING))
    return handles
