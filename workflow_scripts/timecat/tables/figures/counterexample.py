"""The figure of the counterexample: the feature that is best and those that are kept, over the mixtures; what a probe solves.

What is best depends on two differences alone, l1 - l2 and l3 - l4, so the simplex is drawn as the square of these: each cell
is the mean over all mixtures with these differences, and over seeds. Where both are as large, a mixture is left out and its cell
is empty.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.timecat.counterexample.exact import optimum, untied
from workflow_scripts.timecat.counterexample.settings import Settings
from workflow_scripts.timecat.tables.counterexample import by_seed
from workflow_scripts.timecat.tables.figures.drawing import SETTINGS, constrained_figure, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from workflow_scripts.timecat.counterexample.files import Setting

# Blue and vermilion stay distinct to the colour-blind, as do their mean and the light grey.
COLOURS = {
    "one: x1": (0.0, 0.447, 0.698),
    "one: x2": (0.835, 0.369, 0.0),
    "more than one": (0.82,) * 3,
    "none": (1.0,) * 3,
}
LINES: tuple[dict[str, Any], ...] = (
    {"color": "black", "marker": "o", "linestyle": "-"},
    {"color": "#009E73", "marker": "s", "markerfacecolor": "white", "linestyle": (0, (4, 2))},
    {"color": "#CC79A7", "marker": "^", "linestyle": (0, (1, 1))},
    {"color": "#56B4E9", "marker": "D", "linestyle": (0, (4, 1, 1, 1))},
)
TOGETHER: dict[str, Any] = {
    "linestyle": "none",
    "marker": "+",
    "markersize": 6,
}  # of concatenated features, over a line's own look
ASIDE = 0.24  # where these stand, beside the line's own
EXACT: dict[str, Any] = {"color": "0.45", "linewidth": 1, "linestyle": (0, (2, 2))}
DODGE = 0.08  # of the distance between two weight decays: lines side by side, so that bars stay legible
TITLES = {"gates": "gates: $u_1x_1,\\ u_2x_2$", "linear": "linear units", "relu": "ReLUs"}
WIDTH, HEIGHTS = 1.9, (1.95, 1.5, 1.5)  # inches, of a column and of the rows


def counterexample_figure(settings_found: Sequence["Setting"], settings: Settings) -> bytes:
    """Return the SVG: over the columns exact and one per network, a map; below each network, how many keep one feature, and how many of
    the four distributions a probe solves, against weight decay, a line per learning rate.

    settings_found: counterexample.files.Setting, in order. settings: the block `counterexample` of the config. Maps are of the
    first learning rate and of the weight decay in the middle of the grid, the larger of two.
    """
    import matplotlib

    networks, decays = settings.networks, settings.weight_decays
    shown = decays[len(decays) // 2], settings.lrs[0]
    mixtures = untied(settings.grid)
    n_columns = 1 + len(networks)
    with matplotlib.rc_context(SETTINGS):
        figure = constrained_figure((WIDTH * n_columns, sum(HEIGHTS)))
        panels = figure.subplots(3, n_columns, squeeze=False, height_ratios=HEIGHTS)
        best = optimum(mixtures).feature[:, None]
        _draw_map(panels[0, 0], {"one: x1": best == 1, "one: x2": best == 2}, mixtures, "best classifier (exact)")
        panels[0, 0].set_ylabel("$\\lambda_3 - \\lambda_4$")
        for column, network in enumerate(networks, 1):
            own = [setting for setting in settings_found if setting.network == network]
            (mapped,) = (setting for setting in own if (setting.weight_decay, setting.lr) == shown)
            _draw_map(panels[0, column], _shares(mapped), mixtures, TITLES[network])
            _draw_lines(panels[1, column], own, "keeps_one", settings, exact=100)
            _draw_lines(panels[2, column], own, "solved", settings, exact=2)
            panels[2, column].set_xlabel("weight decay")
        panels[1, 1].set_ylabel("keep one feature (%)")
        panels[2, 1].set_ylabel("solved by a probe (of 4)")
        for panel in panels[1:, 0]:
            panel.set_axis_off()
        _explain(panels[1, 0], panels[2, 0], settings, shown)
        return svg_of(figure, "The counterexample of section 3")


def _shares(setting: "Setting") -> dict[str, np.ndarray]:
    """Return what networks keep, as shares of each of COLOURS: [M, S] of 0 and 1. One direction counts for the larger feature."""
    one = setting.dimensions == 1
    return {
        "one: x1": one & (setting.feature == 1),
        "one: x2": one & (setting.feature == 2),
        "more than one": setting.dimensions > 1,
        "none": setting.dimensions == 0,
    }


def _draw_map(panel: "Axes", shares: Mapping[str, np.ndarray], mixtures: np.ndarray, title: str) -> None:
    """Draw a cell per pair of differences, coloured by the mean of the shares' colours."""
    from matplotlib.collections import PolyCollection

    grid = int(mixtures[0].sum())
    differences = np.stack([mixtures[:, 0] - mixtures[:, 1], mixtures[:, 2] - mixtures[:, 3]], 1)
    cells, where = np.unique(differences, axis=0, return_inverse=True)
    colours = sum(np.asarray(share, float).mean(1)[:, None] * COLOURS[name] for name, share in shares.items())  # [M, 3]
    colours = np.stack([colours[where.ravel() == cell].mean(0) for cell in range(len(cells))])
    corner = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    panel.add_collection(
        PolyCollection(
            (cells[:, None] + corner) / grid, facecolors=colours.clip(0, 1), edgecolors="0.6", linewidths=0.3
        )
    )
    reach = 1 + 1.3 / grid
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    panel.set_xlabel("$\\lambda_1 - \\lambda_2$", labelpad=1)
    panel.set_title(title)


def _draw_lines(panel: "Axes", own: Sequence["Setting"], quantity: str, settings: Settings, exact: float) -> None:
    """Draw a line per learning rate; where it is `solved`, one more of what is solved on concatenated features."""
    decays, lrs = settings.weight_decays, settings.lrs
    panel.axhline(exact, **EXACT)
    for number, (lr, look) in enumerate(zip(lrs, LINES, strict=False)):
        found = [by_seed(setting) for setting in own if setting.lr == lr]
        for name, changes, aside in ((quantity, {}, 0), ("solved_together", TOGETHER, ASIDE))[
            : 1 + (quantity == "solved")
        ]:
            summaries = [summaries[name] for summaries in found]
            panel.errorbar(
                [place + aside + DODGE * (number - (len(lrs) - 1) / 2) for place in range(len(decays))],
                [np.nan if summary is None else summary.mean for summary in summaries],
                yerr=[np.nan if summary is None or summary.std is None else summary.std for summary in summaries],
                capsize=2,
                elinewidth=1,
                **look | changes,
            )
    panel.set_xticks(range(len(decays)), [f"{decay:g}" for decay in decays])
    panel.set_xlim(-0.4, len(decays) - 0.5)
    top, ticks = (100, (0, 50, 100)) if quantity == "keeps_one" else (4, range(5))
    panel.set_ylim(-0.06 * top, 1.06 * top)
    panel.set_yticks(list(ticks))
    panel.grid(axis="y", color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)


def _explain(above: "Axes", below: "Axes", settings: Settings, shown: tuple[float, float]) -> None:
    """Draw two legends, where the column of the exact optimum has no more panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    either = {"one: either (seeds differ)": np.mean([COLOURS["one: x1"], COLOURS["one: x2"]], 0)}
    patches = [Patch(facecolor=colour, edgecolor="0.6", label=name) for name, colour in (COLOURS | either).items()]
    above.legend(
        handles=patches,
        title=f"kept with weight decay {shown[0]:g},\nlearning rate {shown[1]:g} (colours are means)",
        loc="upper left",
        frameon=False,
        alignment="left",
        borderpad=0,
    )
    lines = [Line2D([], [], label=f"{lr:g}", **look) for lr, look in zip(settings.lrs, LINES)]
    together = TOGETHER | {"color": "0.45", "label": f"{settings.members} seeds concatenated"}
    lines += [Line2D([], [], **together), Line2D([], [], label="best classifier", **EXACT)]
    below.legend(
        handles=lines,
        title="learning rate (bars: one standard\ndeviation over seeds)",
        loc="upper left",
        frameon=False,
        alignment="left",
        borderpad=0,
    )
