"""The figure of the spurious features: average and worst group's accuracy of each arm, a panel per data set."""

from collections.abc import Sequence
from typing import Any

from workflow_scripts.timecat.tables.figures.drawing import SETTINGS, constrained_figure, svg_of
from workflow_scripts.timecat.tables.model import DataSet, Style
from workflow_scripts.timecat.tables.spurious import AVERAGE, SELECTION, WORST, SpuriousRow

LOOKS: dict[str, dict[str, Any]] = {
    AVERAGE: {"color": "#0072B2", "marker": "o", "markerfacecolor": "white", "label": "average"},
    WORST: {"color": "#D55E00", "marker": "s", "label": "worst group"},
}
LINE = 0.3  # inches of height of an arm
DODGE = 0.13  # of a line: the two stand one below the other, so that their bars stay legible


def spurious_figure(rows: Sequence[SpuriousRow], data_sets: Sequence[DataSet], style: Style) -> bytes:
    """Return the SVG: a line for each arm; bars are one standard deviation."""
    import matplotlib
    from matplotlib.lines import Line2D

    size = 1.2 * style.width_per_panel * len(data_sets) + 0.8, LINE * len(rows) + 1.1
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size)
        panels = figure.subplots(1, len(data_sets), squeeze=False, sharex=True, sharey=True)[0]
        for panel, data_set in zip(panels, data_sets):
            for place, row in enumerate(rows):
                for sign, (quantity, look) in zip((-1, 1), LOOKS.items()):
                    summary = row.summaries[data_set.name, quantity, SELECTION]
                    looks = {key: value for key, value in look.items() if key != "label"}
                    panel.errorbar(
                        [summary.mean],
                        [place + sign * DODGE],
                        xerr=[summary.std or 0.0],
                        capsize=2,
                        linestyle="none",
                        **looks,
                    )
            panel.set_title(f"trained on\n{data_set.title}")
            panel.grid(axis="x", color="0.9", linewidth=0.6)
            panel.set_axisbelow(True)
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(rows)), [row.arm.name for row in rows])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        figure.supxlabel("accuracy (%); bars: one standard deviation", fontsize=8)
        handles = [Line2D([], [], linestyle="none", **look) for look in LOOKS.values()]
        figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
        return svg_of(figure, "Average and worst group's accuracy")
