"""Draw calibration errors and worst-group accuracy against members, in a column per data set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.calibration import Cells, quantity_rows
from workflow_scripts.timecat.tables.figures.accuracies import draw_panel, members_label
from workflow_scripts.timecat.tables.figures.drawing import (
    LOOKS,
    SETTINGS,
    constrained_figure,
    legend_handle,
    lines_and_columns,
    svg_of,
)
from workflow_scripts.timecat.tables.model import AccuracyRow, Arm, DataSet, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SELECTION = "paper"  # selection of the values drawn for comparison; values of the second selection are nearly the same
# Panels of a data set from the top: the quantity, the quantity drawn for comparison, and the label of the axis.
PANELS = (
    ("ece", "ece_calibrated", "expected calibration\nerror (%)"),
    ("mce_sigma", "mce_sigma_calibrated", "multicalibration\nerror (σ)"),
    ("worst_group_accuracy", "accuracy", "worst group's\naccuracy (%)"),
)
BESIDE: dict[str, Any] = {
    "color": "0.45",
    "marker": "_",
    "markersize": 11,
    "markeredgewidth": 1.2,
    "linestyle": "none",
    "zorder": 1.5,
}


def calibration_figure(measured: Cells, arms: Sequence[Arm], data_sets: Sequence[DataSet], style: Style) -> bytes:
    """Return the SVG with three panels for each data set, one above the other.

    Bars are one standard deviation.
    """
    import matplotlib

    n_lines, n_columns = lines_and_columns(len(data_sets))
    size = style.width_per_panel * n_columns + 0.2, 0.62 * style.height * len(PANELS) * n_lines + 0.6
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size, w_pad=0.05, hspace=0.03)
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
        figure.supxlabel(members_label(arms), fontsize=8)
        figure.legend(handles=_legend(), loc="outside upper center", ncols=min(n_columns, 3), frameon=False)
        return svg_of(figure, "Calibration against members")


def _draw(
    panel: "Axes",
    rows: Sequence[AccuracyRow],
    others: Sequence[AccuracyRow],
    data_set: DataSet,
    *,
    first: bool,
    last: bool,
) -> None:
    """Draw one panel with the rows of a quantity and of its comparison (others).

    first, last: whether the panel is the first or the last of its data set.
    """
    draw_panel(panel, rows, data_set)
    panel.plot(panel.get_xticks(), [row.summaries[data_set.name, SELECTION].mean for row in others], **BESIDE)
    if not first:
        panel.set_title("")
    if not last:
        panel.tick_params(labelbottom=False)


def _legend() -> "list[Line2D]":
    from matplotlib.lines import Line2D

    beside = f"for errors: expected if calibrated perfectly;\nfor worst groups: all rows (selection {SELECTION})"
    return [*(legend_handle(selection) for selection in LOOKS), Line2D([], [], label=beside, **BESIDE)]
