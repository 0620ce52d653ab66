"""Draw the diagnostics of each data set: accuracy of single members, accuracy without each member, and members' CKA.

The figure shows selection `paper`, which comes first in the table.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.tables.diagnostics import Quantities
from workflow_scripts.timecat.tables.figures.drawing import (
    SETTINGS,
    constrained_figure,
    lines_and_columns,
    short_steps,
    svg_of,
    titled,
)
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SELECTION = "paper"
BLOCK, WITHOUT, CKA = "block_accuracy", "leave_one_out_accuracy", "cka"
# Looks differ in colour (distinct to the colour-blind), marker and filling.
LOOKS: dict[str, dict[str, Any]] = {
    BLOCK: {"color": "#0072B2", "marker": "o", "markerfacecolor": "#0072B2", "label": "one member's part of the probe"},
    WITHOUT: {"color": "#D55E00", "marker": "s", "markerfacecolor": "white", "label": "all members but one"},
    CKA: {"color": "#555555", "marker": "o", "markerfacecolor": "#555555", "label": "CKA of two members"},
}
WHOLE: dict[str, Any] = {"color": "black", "linewidth": 1.4, "label": "the whole probe"}
WIDTH = 0.8  # width of an arm's slot, which its replicates share; the members of a replicate share its part
TALLER = 1.5  # height of the accuracies' panel relative to CKA's panel


def diagnostics_figure(
    found: Mapping[Cell, Quantities], arms: Sequence[Arm], data_sets: Sequence[DataSet], style: Style
) -> bytes:
    """Return the SVG with a column per data set: accuracies (percent) above, CKA below.

    Each arm has a slot, and each replicate a part of it. Arms and data sets without diagnostics are left out.
    """
    import matplotlib

    arms = [arm for arm in arms if any(arm.name == cell.arm for cell in found)]
    data_sets = [one for one in data_sets if any(one.name == cell.data_set for cell in found)]
    n_lines, n_columns = lines_and_columns(len(data_sets))
    size = style.width_per_panel * n_columns, style.height * (1 + 1 / TALLER) * n_lines + 0.4
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure(size, w_pad=0.06, hspace=0.04)
        panels = figure.subplots(
            2 * n_lines, n_columns, squeeze=False, height_ratios=[TALLER, 1] * n_lines, sharex=True
        )
        for panel in panels.ravel():
            panel.set_axis_off()
        for number, data_set in enumerate(data_sets):
            line, column = divmod(number, n_columns)
            pair = panels[2 * line, column], panels[2 * line + 1, column]
            own = [found.get(Cell(arm.name, data_set.name), {}) for arm in arms]
            _draw_accuracies(pair[0], own, data_set)
            _draw_cka(pair[1], own, arms)
            if column == 0:
                pair[0].set_ylabel("top-1 accuracy (%)")
                pair[1].set_ylabel("CKA")
        figure.supxlabel("arm (below: members × steps of each member); replicates are side by side", fontsize=8)
        figure.legend(handles=_legend(), loc="outside upper center", ncols=2, frameon=False)
        return svg_of(figure, "What members contribute")


def _draw_accuracies(panel: "Axes", cells: Sequence[Quantities], data_set: DataSet) -> None:
    panel.set_axis_on()
    for slot, quantities in enumerate(cells):
        if not quantities:
            continue
        whole = quantities[SELECTION, "accuracy"].values
        for place, width, replicate in _places(slot, whole):
            panel.plot([place - width / 2, place + width / 2], whole[replicate] * 2, **WHOLE, zorder=2.1)
            for name, side in ((BLOCK, -1), (WITHOUT, 1)):
                # Single members are in the left half of a replicate's part, all members but one in the right half.
                _strip(panel, place + side * width / 4, width / 2, quantities[SELECTION, name].values[replicate], name)
    titled(panel, data_set)
    panel.margins(y=0.1)
    panel.tick_params(axis="x", length=0, labelbottom=False)
    _grid(panel)


def _draw_cka(panel: "Axes", cells: Sequence[Quantities], arms: Sequence[Arm]) -> None:
    panel.set_axis_on()
    for slot, quantities in enumerate(cells):
        if (None, CKA) in quantities:
            values = quantities[None, CKA].values
            for place, width, replicate in _places(slot, values):
                _strip(panel, place, width, values[replicate], CKA)
    panel.set_ylim(-0.03, 1.03)
    panel.set_yticks([0, 0.5, 1])
    labels = [f"{arm.name}\n{arm.members} × {short_steps(arm)}" for arm in arms]
    panel.set_xticks(range(len(arms)), labels)
    panel.tick_params(axis="x", length=0, labelbottom=True)
    panel.set_xlim(-0.6, len(arms) - 0.4)
    _grid(panel)


def _places(slot: int, values: Mapping[int, list[float]]) -> list[tuple[float, float, int]]:
    """Return (centre, width, replicate) of each replicate's part of an arm's slot, with a gap between parts."""
    width = WIDTH / len(values)
    return [
        (slot - WIDTH / 2 + (number + 0.5) * width, 0.8 * width, replicate) for number, replicate in enumerate(values)
    ]


def _strip(panel: "Axes", centre: float, width: float, values: Sequence[float], name: str) -> None:
    """Draw values side by side within a width, so that equal ones do not hide one another."""
    step = 0.8 * width / len(values)
    places = [centre + (number - (len(values) - 1) / 2) * step for number in range(len(values))]
    look = {key: value for key, value in LOOKS[name].items() if key != "label"}
    panel.plot(places, values, linestyle="none", markersize=3, markeredgewidth=0.8, zorder=2.2, **look)


def _grid(panel: "Axes") -> None:
    panel.grid(axis="y", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)


def _legend() -> "list[Line2D]":
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], **WHOLE | {"label": f"{WHOLE['label']} (selection {SELECTION})"}),
        *(Line2D([], [], linestyle="none", markersize=3.5, **look) for look in LOOKS.values()),
    ]
