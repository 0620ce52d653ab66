"""The study's figure: accuracy against number of members, a panel per data set, both selections."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from workflow_scripts.timecat.tables.figures.drawing import (
    CEILING,
    FLOOR,
    LOOKS,
    SETTINGS,
    new_figure,
    selections_legend,
    short_steps,
    svg_of,
    titled,
    worth_handles,
)
from workflow_scripts.timecat.tables.model import PROBE, AccuracyRow, Arm, DataSet, Style
from workflow_scripts.timecat.tables.notes import MODES
from workflow_scripts.timecat.tables.worth import Target, worth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Words would run into one another below a panel's arms; their first letters differ.
LETTERS = ", ".join(f"{name[0]}: {name}" for name in MODES)
# The two selections of an arm stand side by side, this share of the members' range apart, so that bars stay legible.
DODGE = 0.015


def members_figure(
    rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style, targets: Sequence[Target] = ()
) -> bytes:
    """Return the SVG of mean accuracy (percent) against members; bars are one standard deviation, where there is one.

    targets: what the numbers are worth: floors and ceilings are drawn, and a target that is uninformative says so.
    """
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        figure, panels = new_figure(len(data_sets), style)
        for panel, data_set in zip(panels, data_sets):
            draw_panel(panel, rows, data_set, worth_of(targets, data_set))
        figure.supylabel("top-1 accuracy (%)", fontsize=8)
        figure.supxlabel(members_label(row.arm for row in rows), fontsize=8)
        selections_legend(figure, *worth_handles(targets))
        return svg_of(figure, "Accuracy against members")


def members_label(arms: Iterable[Arm]) -> str:
    """Return what the axis of members is called."""
    letters = "" if _modes(arms) == {PROBE} else f"\n{LETTERS}"
    return f"members (below: steps of each){letters}\nbars: one standard deviation"


def draw_panel(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, worth: Target | None = None) -> None:
    """Draw a data set's means against arms, both selections, with bars of one standard deviation; as in members_figure."""
    members = [row.arm.members for row in rows]
    modes = _modes(row.arm for row in rows)
    # A line says "the same budget, divided further": only where each arm has more members than the one before, and all
    # are transferred alike. Else, arms stand one beside the other: several may have the same number of members.
    connected = all(after > before for before, after in itertools.pairwise(members)) and len(modes) == 1
    places = members if connected else list(range(len(rows)))
    span = places[-1] - places[0] or 1
    for sign, (selection, look) in zip((-1, 1), LOOKS.items(), strict=True):
        summaries = [row.summaries[data_set.name, selection] for row in rows]
        panel.errorbar(
            [place + sign * DODGE * span for place in places],
            [summary.mean for summary in summaries],
            yerr=[math.nan if summary.std is None else summary.std for summary in summaries],
            capsize=2,
            elinewidth=1,
            **look | ({} if connected else {"linestyle": "none"}),
        )
    if worth is not None:
        floors = {each.arm: each.floor for each in worth.comparisons}
        at = [(place, floors[row.arm.name]) for place, row in zip(places, rows) if row.arm.name in floors]
        if at:
            panel.plot(*zip(*at), **FLOOR | ({} if connected else {"linestyle": "none"}))
        if worth.ceiling is not None:
            panel.axhline(worth.ceiling, **CEILING)
    titled(panel, data_set, worth)
    panel.set_xticks(places, [_label(row.arm, modes) for row in rows])
    panel.set_xlim(places[0] - 0.15 * span, places[-1] + 0.15 * span)
    panel.margins(y=0.12)
    panel.grid(axis="y", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)


def _modes(arms: Iterable[Arm]) -> set[str]:
    """Return how arms are transferred."""
    return {arm.transfer for arm in arms}


def _label(arm: Arm, modes: set[str]) -> str:
    """Return what stands below an arm: members, steps of each, and how it is transferred (LETTERS) if not all are probes."""
    return f"{arm.members}\n{short_steps(arm)}" + ("" if modes == {PROBE} else f"\n{arm.transfer[0]}")
