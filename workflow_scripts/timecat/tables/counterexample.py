"""What results/counterexample.csv says: a line for the exact optimum, then one per setting."""

import csv
import io

import numpy as np

from workflow_scripts.timecat.counterexample.exact import QUARTERS, TIE, optimum, simplex, solved
from workflow_scripts.timecat.tables.accuracies import Summary, summarize

# Percent, or of the four distributions (solved...); each of the first ones with its deviation over seeds.
WITH_DEVIATION = ("keeps_none", "keeps_one", "keeps_more", "solved", "solved_together", "error")
EACH = tuple(f"solved{number + 1}" for number in range(len(QUARTERS)))
WITHOUT = ("optimal_feature", "seeds_differ", "solved_of_one", "direct", "diverged", *EACH)
HEADER = (
    "network",
    "weight_decay",
    "lr",
    "mixtures",
    "seeds",
    *(column for name in WITH_DEVIATION for column in (name, f"{name}_std")),
    *WITHOUT,
)


def by_seed(setting) -> dict[str, Summary | None]:
    """Of a setting, for each of WITH_DEVIATION: its mean over mixtures, summarised over seeds, or over groups of seeds whose
    features are concatenated (solved_together; None where there are too few seeds for one)."""
    found = {
        "keeps_none": 100 * (setting.dimensions == 0),
        "keeps_one": 100 * (setting.dimensions == 1),
        "keeps_more": 100 * (setting.dimensions > 1),
        "solved": setting.solved.sum(0),
        "solved_together": setting.solved_together.sum(0),
        "error": 100 * setting.error,
    }
    return {name: summarize(values.mean(0).tolist()) if values.size else None for name, values in found.items()}


def over_all(setting, mixtures) -> dict[str, float | None]:
    """Of a setting, each of WITHOUT: a mean over networks, None where there are none that it could be of.

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


def _mean(values) -> float | None:
    return float(np.mean(values)) if np.size(values) else None


def exact_line(grid: int) -> list:
    """The best classifiers, in the columns of HEADER: of each mixture, the one that takes the fewest features."""
    mixtures = simplex(grid)
    best = optimum(mixtures)
    probed = [solved((feature,) if size == 1 else (1, 2)) for feature, size in zip(_either(best.feature), best.size)]
    number = np.sum(probed, 1)
    values = {
        "keeps_none": _mean(100 * (best.size == 0)),
        "keeps_one": _mean(100 * (best.size == 1)),
        "keeps_more": _mean(100 * (best.size > 1)),
        "solved": _mean(number),
        "error": _mean(100 * best.error / (len(QUARTERS) * grid)),
        "optimal_feature": 100.0,
        "solved_of_one": _mean(number[best.size == 1]),
        "direct": 100.0,
        **{name: _mean(100 * np.take(probed, number, 1)) for number, name in enumerate(EACH)},
    }
    return ["exact", "", "", len(mixtures), "", *(_printed(values.get(column)) for column in HEADER[5:])]


def _either(feature):
    """A feature for each mixture: where both are equally good, the first one stands for either."""
    return np.where(feature == TIE, 1, feature)


def csv_text(settings_found, grid: int) -> str:
    """counterexample.csv. settings_found: counterexample.files.Setting, in order."""
    mixtures = simplex(grid)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerow(exact_line(grid))
    for setting in settings_found:
        spread, means = by_seed(setting), over_all(setting, mixtures)
        values = [getattr(spread[name], number, None) for name in WITH_DEVIATION for number in ("mean", "std")]
        values += [means[name] for name in WITHOUT]
        seeds = setting.dimensions.shape[1]
        what = [setting.network, setting.weight_decay, setting.lr, len(mixtures), seeds]
        writer.writerow([*what, *map(_printed, values)])
    return file.getvalue()


def _printed(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
