"""Code that figures share: Matplotlib settings, panels, looks of selections, labels, and SVG output.

The bytes of an SVG depend only on what is drawn: text becomes outlines of the font that ships with Matplotlib, ids come
from a fixed salt, and there is no date. Matplotlib is imported late, because only a few stages draw.
"""

import contextlib
import io
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.model import NO_STEPS, Arm, DataSet, Style
from workflow_scripts.timecat.tables.worth import WARNINGS, Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from workflow_scripts.timecat.measures.contrasts import Contrast

PANELS_PER_ROW = 4
IN_DISTRIBUTION = "#F1F1EC"  # background of panels for data that backbones were pretrained on
# Looks differ in colour (blue and vermilion are distinct to the colour-blind), marker and dash.
LOOKS: dict[str, dict[str, Any]] = {
    "paper": {"color": "#0072B2", "marker": "o", "markerfacecolor": "#0072B2", "linestyle": "-"},
    "holdout": {"color": "#D55E00", "marker": "s", "markerfacecolor": "white", "linestyle": (0, (4, 2))},
}
# Looks of reference values, in grey: the floor (an untrained arm) and the ceiling.
FLOOR: dict[str, Any] = {"color": "0.5", "marker": "x", "linestyle": ":", "linewidth": 1.0}
CEILING: dict[str, Any] = {"color": "0.5", "linestyle": (0, (6, 3)), "linewidth": 1.0}
ZERO_LINE: dict[str, Any] = {"color": "0.25", "linewidth": 0.9, "zorder": 1}
SETTINGS: Any = {
    "svg.hashsalt": "timecat",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
}


@contextlib.contextmanager
def private_matplotlib(folder: str | Path) -> Iterator[None]:
    """Make Matplotlib keep its settings and font list in a temporary folder in ``folder``, not in the user's."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".matplotlib-") as temporary:
        os.environ["MPLCONFIGDIR"] = temporary
        yield


def stacked_figure(
    n_panels: int, heights: Sequence[float], style: Style, margin: float = 0.6
) -> "tuple[Figure, list[list[Axes]]]":
    """Return a figure with stacks of panels, at most PANELS_PER_ROW side by side, and the stacks.

    Call it within SETTINGS. n_panels: number of stacks. heights: heights of a stack's panels from the top, in inches.
    margin: inches of height in addition to all panels.
    """
    n_lines, columns = lines_and_columns(n_panels)
    figure = constrained_figure(
        (style.width_per_panel * columns, sum(heights) * n_lines + margin), w_pad=0.06, hspace=0.04
    )
    panels = figure.subplots(
        len(heights) * n_lines, columns, squeeze=False, gridspec_kw={"height_ratios": list(heights) * n_lines}
    )
    for panel in panels.ravel():
        panel.set_axis_off()
    stacks = []
    for number in range(n_panels):
        line, column = divmod(number, columns)
        stacks.append(list(panels[len(heights) * line : len(heights) * (line + 1), column]))
        for panel in stacks[-1]:
            panel.set_axis_on()
    return figure, stacks


def constrained_figure(size: tuple[float, float], w_pad: float | None = None, hspace: float | None = None) -> "Figure":
    """Return a figure of a size in inches, with a layout without overlaps. Call it within SETTINGS.

    w_pad: inches beside panels. hspace: space between panels as a share of their height. Both default to Matplotlib's.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=w_pad, hspace=hspace))


def lines_and_columns(n_panels: int) -> tuple[int, int]:
    """Return the numbers of lines and columns that panels take, at most PANELS_PER_ROW side by side."""
    n_lines = math.ceil(n_panels / PANELS_PER_ROW)
    return n_lines, math.ceil(n_panels / n_lines)


def svg_of(figure: "Figure", title: str) -> bytes:
    """Return a figure as SVG with a title in its metadata. Call it within SETTINGS."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.BytesIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(file, metadata={"Date": None, "Creator": None, "Title": title})
    return file.getvalue()


def ends_of(found: "Contrast") -> tuple[float, float]:
    """Return the lengths of a contrast's interval below and above its mean.

    They are NaN, which draws no bar, if the contrast has no interval.
    """
    if found.interval is None:
        return math.nan, math.nan
    low, high = found.interval
    return found.mean - low, high - found.mean


def selections_legend(figure: "Figure", *more: "Line2D") -> None:
    """Draw a legend of both selections and of further handles above the panels."""
    handles = [*(legend_handle(selection) for selection in LOOKS), *more]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), n_columns(figure)), frameon=False
    )


def n_columns(figure: "Figure") -> int:
    """Return the number of panels that a figure has side by side."""
    spec = figure.axes[0].get_subplotspec()
    return 1 if spec is None else spec.get_gridspec().ncols


def titled(panel: "Axes", data_set: DataSet, worth: Target | None = None) -> None:
    """Title a panel with its data set, and mark pretraining data and targets that are or may be uninformative."""
    aside = "\n(in distribution)" if data_set.in_distribution else ""
    if worth is not None and worth.verdict in WARNINGS:
        aside = f"\n({WARNINGS[worth.verdict]})"
    panel.set_title(data_set.title + aside, color="#A00000" if aside and not data_set.in_distribution else "black")
    if data_set.in_distribution:
        panel.set_facecolor(IN_DISTRIBUTION)


def worth_handles(targets: Sequence[Target]) -> "list[Line2D]":
    """Return legend handles for floors and ceilings, if there are any."""
    from matplotlib.lines import Line2D

    handles = []
    if any(target.comparisons for target in targets):
        handles.append(Line2D([], [], label="floor (untrained)", **FLOOR))
    if any(target.ceiling is not None for target in targets):
        handles.append(Line2D([], [], label="ceiling", **CEILING))
    return handles


def floor_handles(targets: Sequence[Target]) -> "list[Line2D]":
    """Return the legend handle for floors that are drawn as single marks, if there are any."""
    from matplotlib.lines import Line2D

    has_floors = any(target.comparisons for target in targets)
    return [Line2D([], [], label="floor (untrained)", **FLOOR | {"linestyle": "none"})] if has_floors else []


def short_steps(arm: Arm) -> str:
    """Return an axis label for the steps per member: one number, or the first and the last if they differ."""
    steps = arm.steps
    if isinstance(steps, tuple):
        return f"{short_number(steps[0])}…{short_number(steps[-1])}"
    return NO_STEPS if steps is None else short_number(steps)


def short_number(number: int) -> str:
    """Return a short text for a number of steps: 450000 is 450k, 2500 is 2.5k, 337 is 337."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{letter}"
    return str(number)


def legend_handle(selection: str) -> "Line2D":
    """Return the legend handle of a selection."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=f"selection {selection}", **LOOKS[selection])
