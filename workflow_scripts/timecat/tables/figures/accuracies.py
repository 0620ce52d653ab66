"""Draw accuracy and contrasts against the number of members, in two panels per data set, for both selections."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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
from workflow_scripts.timecat.tables.model import PROBE, AccuracyRow, Arm, DataSet, Style
from workflow_scripts.timecat.tables.notes import MODES
from workflow_scripts.timecat.tables.worth import worth_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Ways of transfer by first letter, because whole words would overlap below a panel's arms.
LETTERS = ", ".join(f"{name[0]}: {name}" for name in MODES)
# Distance of an arm's selections from its position, as a share of the range of members, so that bars do not overlap.
DODGE = 0.015


def members_figure(
    rows: Sequence[AccuracyRow], data_sets: Sequence[DataSet], style: Style, compared: Comparisons = NOTHING
) -> bytes:
    """Return the SVG of mean accuracy (percent) against members, and below it contrasts with the baseline, if any.

    Bars of accuracies are one standard deviation. Bars of contrasts are their intervals, if they have one.
    """
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        heights = (0.85 * style.height, 0.75 * style.height) if compared.rows else (style.height,)
        figure, stacks = stacked_figure(len(data_sets), heights, style)
        columns = n_columns(figure)
        for number, ((above, *others), data_set) in enumerate(zip(stacks, data_sets)):
            draw_panel(above, rows, data_set, compared)
            above.tick_params(labelbottom=not others)
            if number % columns == 0:
                above.set_ylabel("top-1 accuracy (%)")
            for below in others:
                _draw_contrasts(below, rows, data_set, compared)
                if number % columns == 0:
                    below.set_ylabel(f"difference from\n{compared.baseline} (points)")
        said = "\ncontrasts: 95 % interval, if there is one" if compared.rows else ""
        figure.supxlabel(members_label(row.arm for row in rows) + said, fontsize=8)
        selections_legend(figure, *worth_handles(compared.targets))
        return svg_of(figure, "Accuracy against members")


def members_label(arms: Iterable[Arm]) -> str:
    """Return the label of the axis of members."""
    letters = "" if _modes(arms) == {PROBE} else f"\n{LETTERS}"
    return f"members (below: steps of each member){letters}\nbars: one standard deviation of replicates"


def _draw_contrasts(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, compared: Comparisons) -> None:
    """Draw a data set's contrasts with the baseline, for both selections."""
    places, span = _places(rows)
    panel.axhline(0, **ZERO_LINE)
    for sign, (selection, look) in zip((-1, 1), LOOKS.items(), strict=True):
        for place, row in zip(places, rows):
            gain = compared.gain(row.arm.name, data_set.name, selection)
            if gain is None:
                continue
            low, high = ends_of(gain.contrast)
            panel.errorbar(
                [place + sign * DODGE * span],
                [gain.contrast.mean],
                yerr=[[low], [high]],
                capsize=2,
                elinewidth=1,
                **look | {"linestyle": "none"},
            )
    _set_places(panel, rows)
    if data_set.in_distribution:
        panel.set_facecolor(IN_DISTRIBUTION)


def draw_panel(panel: "Axes", rows: Sequence[AccuracyRow], data_set: DataSet, compared: Comparisons = NOTHING) -> None:
    """Draw a data set's means for both selections, with bars of one standard deviation, floors and ceiling."""
    places, span = _places(rows)
    for sign, (selection, look) in zip((-1, 1), LOOKS.items(), strict=True):
        summaries = [row.summaries[data_set.name, selection] for row in rows]
        panel.errorbar(
            [place + sign * DODGE * span for place in places],
            [summary.mean for summary in summaries],
            yerr=[math.nan if summary.std is None else summary.std for summary in summaries],
            capsize=2,
            elinewidth=1,
            **look | ({} if _is_connected(rows) else {"linestyle": "none"}),
        )
    worth = worth_of(compared.targets, data_set)
    if worth is not None:
        floors = {each.arm.name: each.floor for each in worth.comparisons}
        at = [(place, floors[row.arm.name]) for place, row in zip(places, rows) if row.arm.name in floors]
        if at:
            panel.plot(*zip(*at), **FLOOR | ({} if _is_connected(rows) else {"linestyle": "none"}))
        if worth.ceiling is not None:
            panel.axhline(worth.ceiling, **CEILING)
    titled(panel, data_set, worth)
    _set_places(panel, rows)


def _is_connected(rows: Sequence[AccuracyRow]) -> bool:
    """Return whether a line connects the arms, which shows that they divide one budget among more and more members.

    This needs arms with increasing numbers of members that are all transferred in the same way.
    """
    members = [row.arm.members for row in rows]
    return (
        all(after > before for before, after in itertools.pairwise(members)) and len(_modes(r.arm for r in rows)) == 1
    )


def _places(rows: Sequence[AccuracyRow]) -> tuple[list[int], int]:
    """Return the arms' positions on the axis, and the distance between the first and the last.

    Connected arms are placed at their numbers of members. Unconnected arms are placed side by side, because several may
    have the same number of members.
    """
    places = [row.arm.members for row in rows] if _is_connected(rows) else list(range(len(rows)))
    return places, places[-1] - places[0] or 1


def _set_places(panel: "Axes", rows: Sequence[AccuracyRow]) -> None:
    """Set ticks, labels and limits of the axis of arms."""
    (places, span), modes = _places(rows), _modes(row.arm for row in rows)
    panel.set_xticks(places, [_label(row.arm, modes) for row in rows])
    panel.set_xlim(places[0] - 0.15 * span, places[-1] + 0.15 * span)
    panel.margins(y=0.12)
    panel.grid(axis="y", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)


def _modes(arms: Iterable[Arm]) -> set[str]:
    """Return the ways in which arms are transferred."""
    return {arm.transfer for arm in arms}


def _label(arm: Arm, modes: set[str]) -> str:
    """Return an arm's tick label: members, steps per member, and way of transfer (LETTERS) if not all are probed."""
    return f"{arm.members}\n{short_steps(arm)}" + ("" if modes == {PROBE} else f"\n{arm.transfer[0]}")
