"""Build the table of results/counterexample.csv: a line for the exact optimum, then one per setting."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.timecat.counterexample.exact import QUARTERS, optimum, solved, untied
from workflow_scripts.timecat.tables.model import Summary, summarize
from workflow_scripts.timecat.tables.table import Column, Count, Measured, Numbers, Table, Text, table_of

if TYPE_CHECKING:
    from workflow_scripts.timecat.counterexample.files import Setting

# Quantities in percent, or numbers out of the four distributions (solved...). Those of WITH_DEVIATION have a standard
# deviation over seeds and a 95 % interval of the mean over seeds. Mixtures are all those on the grid, not a sample.
WITH_DEVIATION = ("keeps_none", "keeps_one", "keeps_more", "solved", "solved_together", "error")
LEVEL = 0.95  # confidence level of intervals
EACH = tuple(f"solved{number + 1}" for number in range(len(QUARTERS)))
WITHOUT = ("optimal_feature", "seeds_differ", "solved_of_one", "direct", "diverged", *EACH)


@dataclass(frozen=True)
class Line:
    """A setting, or the exact optimum, with a Summary by name of WITH_DEVIATION and a mean by name of WITHOUT."""

    network: str
    mixtures: int
    summaries: Mapping[str, Summary | None]
    means: Mapping[str, float | None]
    weight_decay: float | None = None
    lr: float | None = None
    seeds: int | None = None


def by_seed(setting: "Setting") -> dict[str, Summary | None]:
    """Return a setting's mean over mixtures, summarised over seeds, for each name of WITH_DEVIATION.

    solved_together is summarised over groups of seeds whose features are concatenated, and is None with too few seeds.
    """
    found = {
        "keeps_none": 100 * (setting.dimensions == 0),
        "keeps_one": 100 * (setting.dimensions == 1),
        "keeps_more": 100 * (setting.dimensions > 1),
        "solved": setting.solved.sum(0),
        "solved_together": setting.solved_together.sum(0),
        "error": 100 * setting.error,
    }
    return {name: summarize(values.mean(0).tolist()) if values.size else None for name, values in found.items()}


def over_all(setting: "Setting", mixtures: np.ndarray) -> dict[str, float | None]:
    """Return a setting's mean over networks for each name of WITHOUT, or None if no network qualifies for it.

    optimal_feature: share of networks that keep the best classifier's feature, among those that keep one feature.
    seeds_differ: share of mixtures in which some seeds keep x1 alone and others x2 alone. solved_of_one: number of
    distributions that probes solve on networks that keep one feature. direct: share of the networks trained on one
    distribution alone whose probe solves it. solved1 to solved4: share of networks whose probe solves that distribution
    (P1 and P2 depend on one feature, P3 and P4 on the other).
    """
    best = optimum(mixtures).feature[:, None]
    keeps_one = setting.dimensions == 1
    alone = [(keeps_one & (setting.feature == feature)).any(1) for feature in (1, 2)]
    pure = [(np.asarray(mixtures)[:, number] == np.sum(mixtures[0])).argmax() for number in range(len(QUARTERS))]
    return {
        "optimal_feature": _mean(100 * (setting.feature == best)[keeps_one]),
        "seeds_differ": _mean(100 * (alone[0] & alone[1])),
        "solved_of_one": _mean(setting.solved.sum(0)[keeps_one]),
        "direct": _mean(100 * np.stack([setting.solved[number, mixture] for number, mixture in enumerate(pure)])),
        "diverged": _mean(100 * setting.diverged),
        **{name: _mean(100 * setting.solved[number]) for number, name in enumerate(EACH)},
    }


def _mean(values: np.ndarray | Sequence[np.ndarray]) -> float | None:
    return float(np.mean(values)) if np.size(values) else None


def exact_line(grid: int) -> Line:
    """Return the line of the exact optimum, for each mixture the best classifier with the fewest features."""
    mixtures = untied(grid)
    best = optimum(mixtures)
    probed = [solved((feature,)) for feature in best.feature.tolist()]
    number = np.sum(probed, 1)
    with_deviation = {
        "keeps_none": _mean(100 * (best.size == 0)),
        "keeps_one": _mean(100 * (best.size == 1)),
        "keeps_more": _mean(100 * (best.size > 1)),
        "solved": _mean(number),
        "error": _mean(100 * best.error / (len(QUARTERS) * grid)),
    }
    means = {
        "optimal_feature": 100.0,
        "solved_of_one": _mean(number[best.size == 1]),
        "direct": 100.0,
        **{name: _mean(100 * np.take(probed, number, 1)) for number, name in enumerate(EACH)},
    }
    summaries = {name: None if mean is None else Summary(mean, None, 1) for name, mean in with_deviation.items()}
    return Line("exact", len(mixtures), summaries, means)


def counterexample_records(settings_found: Iterable["Setting"], grid: int) -> Table:
    """Return the table of counterexample.csv: a line for the exact optimum, then one per setting, in order."""
    mixtures = untied(grid)
    lines = [
        Line(
            setting.network,
            len(mixtures),
            by_seed(setting),
            over_all(setting, mixtures),
            setting.weight_decay,
            setting.lr,
            seeds=setting.dimensions.shape[1],
        )
        for setting in settings_found
    ]
    columns: list[Column[Line]] = [
        Column("", ("network",), lambda line: Text(line.network)),
        Column("", ("weight_decay",), lambda line: Text("" if line.weight_decay is None else str(line.weight_decay))),
        Column("", ("lr",), lambda line: Text("" if line.lr is None else str(line.lr))),
        Column("", ("mixtures",), lambda line: Count(line.mixtures)),
        Column("", ("seeds",), lambda line: Count(line.seeds)),
        *(column(name) for name in WITH_DEVIATION for column in (_with_deviation, _interval)),
        Column("", WITHOUT, lambda line: Numbers(tuple(line.means.get(name) for name in WITHOUT), ".2f")),
    ]
    return table_of(columns, [exact_line(grid), *lines])


def _with_deviation(name: str) -> Column[Line]:
    return Column("", (name, f"{name}_std"), lambda line: Measured(line.summaries.get(name)))


def _interval(name: str) -> Column[Line]:
    return Column("", (f"{name}_low", f"{name}_high"), lambda line: Numbers(_ends(line.summaries.get(name)), ".2f"))


def _ends(summary: Summary | None) -> tuple[float | None, float | None]:
    """Return the ends of the t interval of a mean over seeds, or None for both if there is only one value."""
    from scipy.special import stdtrit

    if summary is None or summary.std is None:
        return None, None
    reach = float(stdtrit(summary.n - 1, 0.5 + LEVEL / 2)) * summary.std / math.sqrt(summary.n)
    return summary.mean - reach, summary.mean + reach
