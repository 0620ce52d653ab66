"""Draw the counterexample: the best feature and the kept features of each mixture, and how much a probe solves.

The best feature depends only on the differences l1 - l2 and l3 - l4, so the simplex is drawn as the square of these.
Each cell is the mean over all mixtures with these differences, and over seeds. Mixtures for which both differences are
equally large are left out, and their cells are empty.
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

# Colour-blind readers can tell blue, vermilion, their mean and the light grey apart.
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
}  # look of concatenated features, in addition to the look of their line
ASIDE = 0.24  # distance of the points of concatenated features from their line's points
EXACT: dict[str, Any] = {"color": "0.45", "linewidth": 1, "linestyle": (0, (2, 2))}
DODGE = 0.08  # distance between lines, as a share of the distance between weight decays, so that bars do not overlap
TITLES = {"gates": "gates: $u_1x_1,\\ u_2x_2$", "linear": "linear units", "relu": "ReLUs"}
WIDTH, HEIGHTS = 1.9, (1.95, 1.5, 1.5)  # width of a column and heights of the rows, in inches


def counterexample_figure(settings_found: Sequence["Setting"], settings: Settings) -> bytes:
    """Return the SVG with a column for the exact optimum and one for each kind of network.

    Each column begins with a map of mixtures. Below it, two panels of a network show the share of networks that keep
    one feature and the number of distributions (of four) that a probe solves, against weight decay, with a line per
    learning rate. settings_found: settings in order. settings: the block `counterexample` of the config. Maps show the
    first learning rate and the weight decay in the middle of the grid (the larger of two).
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
        panels[1, 1].set_ylabel("networks that keep\none feature (%)")
        panels[2, 1].set_ylabel("distributions solved\nby a probe (of 4)")
        for panel in panels[1:, 0]:
            panel.set_axis_off()
        _explain(panels[1, 0], panels[2, 0], settings, shown)
        return svg_of(figure, "The counterexample of section 3")


def _shares(setting: "Setting") -> dict[str, np.ndarray]:
    """Return whether each network keeps what each of COLOURS names, bool [M, S].

    A single direction counts as the feature that is larger in it.
    """
    one = setting.dimensions == 1
    return {
        "one: x1": one & (setting.feature == 1),
        "one: x2": one & (setting.feature == 2),
        "more than one": setting.dimensions > 1,
        "none": setting.dimensions == 0,
    }


def _draw_map(panel: "Axes", shares: Mapping[str, np.ndarray], mixtures: np.ndarray, title: str) -> None:
    """Draw a map with a cell per pair of differences, in the mean colour of its shares."""
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
    """Draw a line per learning rate, and for `solved` also the points of concatenated features."""
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
    """Draw two legends in the column of the exact optimum, below its map."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    either = {"one: x1 or x2 (seeds differ)": np.mean([COLOURS["one: x1"], COLOURS["one: x2"]], 0)}
    patches = [Patch(facecolor=colour, edgecolor="0.6", label=name) for name, colour in (COLOURS | either).items()]
    above.legend(
        handles=patches,
        title=f"features kept at weight\ndecay {shown[0]:g}, learning rate {shown[1]:g}\n(colours are means)",
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
