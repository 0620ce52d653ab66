"""What results/counterexample.csv says (a line for the exact optimum, then one per setting), and the Parquet of every network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.timecat.counterexample.exact import QUARTERS, TIE, optimum, simplex, solved
from workflow_scripts.timecat.tables.model import Summary, summarize
from workflow_scripts.timecat.tables.table import Column, Count, Measured, Numbers, Table, Text, table_of

if TYPE_CHECKING:
    from workflow_scripts.timecat.counterexample.files import Setting

# Percent, or of the four distributions (solved...); each of the first ones with its deviation over seeds.
WITH_DEVIATION = ("keeps_none", "keeps_one", "keeps_more", "solved", "solved_together", "error")
EACH = tuple(f"solved{number + 1}" for number in range(len(QUARTERS)))
WITHOUT = ("optimal_feature", "seeds_differ", "solved_of_one", "direct", "diverged", *EACH)


@dataclass(frozen=True)
class Line:
    """A setting, or the exact optimum: what it is, Summary by name of WITH_DEVIATION, and mean by name of WITHOUT."""

    network: str
    mixtures: int
    summaries: Mapping[str, Summary | None]
    means: Mapping[str, float | None]
    weight_decay: float | None = None
    lr: float | None = None
    seeds: int | None = None


def by_seed(setting: "Setting") -> dict[str, Summary | None]:
    """Return for each of WITH_DEVIATION a setting's mean over mixtures, summarised over seeds.

    solved_together: over groups of seeds whose features are concatenated; None where there are too few seeds for one.
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
    """Return for each of WITHOUT a setting's mean over networks, None where there are none that it could be of.

    optimal_feature: of those that keep one feature, how many keep the one of the best classifier, where there is no tie.
    seeds_differ: mixtures in which some seeds keep x1 alone and others x2 alone. solved_of_one: the number of distributions
    that probes solve on networks that keep one feature. direct: networks trained on one distribution alone whose probe solves
    that one. solved1 to solved4: networks whose probe solves that distribution (P1, P2 of one feature, P3, P4 of the other).
    """
    best = optimum(mixtures).feature[:, None]
    keeps_one = setting.dimensions == 1
    alone = [(keeps_one & (setting.feature == feature)).any(1) for feature in (1, 2)]
    pure = [(np.asarray(mixtures)[:, number] == np.sum(mixtures[0])).argmax() for number in range(len(QUARTERS))]
    return {
        "optimal_feature": _mean(100 * (setting.feature == best)[keeps_one & (best != TIE)]),
        "seeds_differ": _mean(100 * (alone[0] & alone[1])),
        "solved_of_one": _mean(setting.solved.sum(0)[keeps_one]),
        "direct": _mean(100 * np.stack([setting.solved[number, mixture] for number, mixture in enumerate(pure)])),
        "diverged": _mean(100 * setting.diverged),
        **{name: _mean(100 * setting.solved[number]) for number, name in enumerate(EACH)},
    }


def _mean(values: np.ndarray | Sequence[np.ndarray]) -> float | None:
    return float(np.mean(values)) if np.size(values) else None


def exact_line(grid: int) -> Line:
    """Return what the best classifiers do: of each mixture, the one that takes the fewest features."""
    mixtures = simplex(grid)
    best = optimum(mixtures)
    probed = [solved((feature,) if size == 1 else (1, 2)) for feature, size in zip(_either(best.feature), best.size)]
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


def _either(feature: np.ndarray) -> np.ndarray:
    """Return a feature for each mixture: where both are equally good, the first one stands for either."""
    return np.where(feature == TIE, 1, feature)


def counterexample_records(settings_found: Iterable["Setting"], grid: int) -> Table:
    """Return counterexample.csv: a line for the exact optimum, then one per setting, in order."""
    mixtures = simplex(grid)
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
        *map(_with_deviation, WITH_DEVIATION),
        Column("", WITHOUT, lambda line: Numbers(tuple(line.means.get(name) for name in WITHOUT), ".2f")),
    ]
    return table_of(columns, [exact_line(grid), *lines])


def _with_deviation(name: str) -> Column[Line]:
    return Column("", (name, f"{name}_std"), lambda line: Measured(line.summaries.get(name)))
