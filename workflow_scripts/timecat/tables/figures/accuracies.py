"""The study's figure: accuracy against number of members, a panel per data set, both selections.

The bytes of the SVG are a function of what is drawn: text becomes outlines of the font that ships with Matplotlib, ids
come from a fixed salt, and there is no date. Matplotlib is imported late, because only one stage draws.
"""

import contextlib
import io
import itertools
import math
import os
import tempfile

from workflow_scripts.timecat.tables.arms import MODES, NO_STEPS, PROBE, mode

# Words would run into one another below a panel's arms; their first letters differ.
LETTERS = ", ".join(f"{name[0]}: {name}" for name in MODES)
PANELS_PER_ROW = 4
# Told apart by colour (blue and vermilion stay distinct to the colour-blind), by marker and by dash.
LOOKS = {
    "paper": {"color": "#0072B2", "marker": "o", "markerfacecolor": "#0072B2", "linestyle": "-"},
    "holdout": {"color": "#D55E00", "marker": "s", "markerfacecolor": "white", "linestyle": (0, (4, 2))},
}
# The two selections of an arm stand side by side, this share of the members' range apart, so that bars stay legible.
DODGE = 0.015
SETTINGS = {
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
def private_matplotlib(folder):
    """Matplotlib keeps its settings and font list in a folder: a temporary one in ``folder``, not the user's."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".matplotlib-") as temporary:
        os.environ["MPLCONFIGDIR"] = temporary
        yield


def new_figure(n_panels: int, style: dict, margin: float = 0.3):
    """A figure of that many panels, at most PANELS_PER_ROW side by side, and the panels. Call it within SETTINGS.

    style: width_per_panel and height of one panel, in inches; margin: inches of height beside them.
    """
    from matplotlib.figure import Figure

    n_lines = math.ceil(n_panels / PANELS_PER_ROW)
    n_columns = math.ceil(n_panels / n_lines)
    size = style["width_per_panel"] * n_columns, style["height"] * n_lines + margin
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, hspace=0.06)
    panels = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
    for panel in panels[n_panels:]:
        panel.set_axis_off()
    return figure, panels[:n_panels]


def svg_of(figure, title: str) -> bytes:
    """The figure as SVG. Call it within SETTINGS."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None, "Title": title})
    return file.getvalue()


def selections_legend(figure, *more) -> None:
    """What the looks of both selections mean, and further handles, above the panels."""
    handles = [*(legend_handle(selection) for selection in LOOKS), *more]
    columns = min(len(handles), figure.axes[0].get_subplotspec().get_gridspec().ncols)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)


def titled(panel, data_set: dict) -> None:
    """Say which data set a panel is of, and whether backbones were pretrained on it."""
    panel.set_title(data_set["title"] + ("\n(in distribution)" if data_set["in_distribution"] else ""))
    if data_set["in_distribution"]:
        panel.set_facecolor("#F1F1EC")


def members_figure(rows, data_sets, style: dict) -> bytes:
    """SVG of mean accuracy (percent) against members; bars are one standard deviation, where there is one.

    rows: accuracies.Row, in order. data_sets: dicts with name, title, in_distribution. style: width_per_panel and height of
    one panel, in inches.
    """
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        figure, panels = new_figure(len(data_sets), style)
        for panel, data_set in zip(panels, data_sets):
            draw_panel(panel, rows, data_set)
        figure.supylabel("top-1 accuracy (%)", fontsize=8)
        letters = "" if _modes(rows) == {PROBE} else f"\n{LETTERS}"
        figure.supxlabel(f"members (below: steps of each){letters}\nbars: one standard deviation", fontsize=8)
        selections_legend(figure)
        return svg_of(figure, "Accuracy against members")


def draw_panel(panel, rows, data_set: dict) -> None:
    """A data set's means against arms, both selections, with bars of one standard deviation; as in members_figure."""
    members = [row.arm["members"] for row in rows]
    # A line says "the same budget, divided further": only where each arm has more members than the one before, and all
    # are transferred alike. Else, arms stand one beside the other: several may have the same number of members.
    connected = all(after > before for before, after in itertools.pairwise(members)) and len(_modes(rows)) == 1
    places = members if connected else list(range(len(rows)))
    span = places[-1] - places[0] or 1
    for sign, (selection, look) in zip((-1, 1), LOOKS.items(), strict=True):
        summaries = [row.summaries[data_set["name"], selection] for row in rows]
        panel.errorbar(
            [place + sign * DODGE * span for place in places],
            [summary.mean for summary in summaries],
            yerr=[math.nan if summary.std is None else summary.std for summary in summaries],
            capsize=2,
            elinewidth=1,
            **look | ({} if connected else {"linestyle": "none"}),
        )
    titled(panel, data_set)
    panel.set_xticks(places, [_label(row.arm, _modes(rows)) for row in rows])
    panel.set_xlim(places[0] - 0.15 * span, places[-1] + 0.15 * span)
    panel.margins(y=0.12)
    panel.grid(axis="y", color="0.85", linewidth=0.6)
    panel.set_axisbelow(True)


def _modes(rows) -> set[str]:
    """How the arms are transferred."""
    return {mode(row.arm) for row in rows}


def _label(arm: dict, modes: set[str]) -> str:
    """What stands below an arm: members, steps of each, and how it is transferred (LETTERS) if not all are probes."""
    return f"{arm['members']}\n{short_steps(arm)}" + ("" if modes == {PROBE} else f"\n{mode(arm)[0]}")


def short_steps(arm: dict) -> str:
    """Steps of each member as an axis shows them; the first and the last where they differ."""
    steps = arm["steps"]
    if isinstance(steps, list):
        return f"{short_number(steps[0])}…{short_number(steps[-1])}"
    return NO_STEPS if steps is None else short_number(steps)


def short_number(number: int) -> str:
    """A number of steps as an axis shows it: 450000 is 450k, 2500 is 2.5k, 337 is 337."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{letter}"
    return str(number)


def legend_handle(selection: str):
    """What a legend shows of a selection."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=f"selection {selection}", **LOOKS[selection])
