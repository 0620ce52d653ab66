"""The figure of the calibration: errors and the worst group's accuracy against members, a column per data set.

Its bytes are a function of what is drawn, as `figures` says.
"""

import io
import math

from workflow_scripts.timecat.tables.arms import PROBE, mode
from workflow_scripts.timecat.tables.calibration import quantity_rows
from workflow_scripts.timecat.tables.figures.accuracies import (
    LETTERS,
    LOOKS,
    PANELS_PER_ROW,
    SETTINGS,
    draw_panel,
    legend_handle,
)

SELECTION = "paper"  # whose comparison is drawn; the other's is nearly the same
# Of each panel below the title: the quantity, what is drawn beside it for comparison, and what the axis says.
PANELS = (
    ("ece", "ece_calibrated", "expected calibration\nerror (%)"),
    ("mce_sigma", "mce_sigma_calibrated", "multicalibration\nerror (σ)"),
    ("worst_group_accuracy", "accuracy", "worst group's\naccuracy (%)"),
)
BESIDE = {"color": "0.45", "marker": "_", "markersize": 11, "markeredgewidth": 1.2, "linestyle": "none", "zorder": 1.5}


def calibration_figure(measured, arms, data_sets, style: dict) -> bytes:
    """SVG: of every data set three panels, one above the other; bars are one standard deviation over replicates.

    measured, arms, data_sets: as in tables.calibration. style: width_per_panel and height of a panel, in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    n_lines = math.ceil(len(data_sets) / PANELS_PER_ROW)
    n_columns = math.ceil(len(data_sets) / n_lines)
    size = style["width_per_panel"] * n_columns + 0.2, 0.62 * style["height"] * len(PANELS) * n_lines + 0.6
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.05, hspace=0.03)
        canvas = FigureCanvasSVG(figure)
        panels = figure.subplots(len(PANELS) * n_lines, n_columns, squeeze=False)
        for panel in panels.ravel():
            panel.set_axis_off()
        for kind, (quantity, beside, label) in enumerate(PANELS):
            rows, others = (quantity_rows(measured, arms, data_sets, name) for name in (quantity, beside))
            for number, data_set in enumerate(data_sets):
                line, column = divmod(number, n_columns)
                panel = panels[len(PANELS) * line + kind, column]
                panel.set_axis_on()
                _draw(panel, rows, others, data_set, first=kind == 0, last=kind == len(PANELS) - 1)
                if quantity != "worst_group_accuracy":
                    panel.set_ylim(bottom=0)
                if column == 0:
                    panel.set_ylabel(label)
        letters = "" if {mode(arm) for arm in arms} == {PROBE} else f"\n{LETTERS}"
        figure.supxlabel(f"members (below: steps of each){letters}\nbars: one standard deviation", fontsize=8)
        figure.legend(handles=_legend(), loc="outside upper center", ncols=min(n_columns, 3), frameon=False)
        file = io.BytesIO()
        canvas.print_svg(file, metadata={"Date": None, "Creator": None, "Title": "Calibration against members"})
    return file.getvalue()


def _draw(panel, rows, others, data_set: dict, first: bool, last: bool) -> None:
    """One panel: rows of a quantity, and of what is drawn beside it. first, last: of the data set's panels."""
    draw_panel(panel, rows, data_set)
    panel.plot(panel.get_xticks(), [row.summaries[data_set["name"], SELECTION].mean for row in others], **BESIDE)
    if not first:
        panel.set_title("")
    if not last:
        panel.tick_params(labelbottom=False)


def _legend() -> list:
    from matplotlib.lines import Line2D

    beside = f"of errors: what perfect calibration would show;\nof accuracies: that of all rows (selection {SELECTION})"
    return [*(legend_handle(selection) for selection in LOOKS), Line2D([], [], label=beside, **BESIDE)]
