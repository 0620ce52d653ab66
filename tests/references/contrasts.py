"""The plain twin of `contrasts`: pairs by going through replicates, the jackknife by leaving seeds out, one at a time.

What the jackknife expects of a covariance is found by applying it to vectors of one 1, where contrasts multiplies matrices.
"""

import math

from workflow_scripts.timecat.measures.contrasts import LEAST_SHARE, Replicate


def paired_reference(arm: list[Replicate], baseline: list[Replicate]) -> list[Replicate]:
    """The difference of every replicate of the arm that has replicates of the baseline within its seeds."""
    found = []
    for own in arm:
        inside = [other.accuracy for other in baseline if set(other.seeds) <= set(own.seeds)]
        if inside:
            found.append(Replicate(own.seeds, own.accuracy - sum(inside) / len(inside)))
    return found


def jackknife_reference(values: list[float], replicates: list[tuple[int, ...]]) -> float:
    """(n - 1) / n times the squared deviations of the means without each of the n seeds."""
    seeds = sorted({seed for replicate in replicates for seed in replicate})
    means = []
    for deleted in seeds:
        left = [value for value, replicate in zip(values, replicates) if deleted not in replicate]
        means.append(sum(left) / len(left))
    centre = sum(means) / len(means)
    return (len(seeds) - 1) / len(seeds) * sum((mean - centre) ** 2 for mean in means)


def seed_error_reference(values: list[float], replicates: list[tuple[int, ...]]) -> tuple[float, float]:
    """Variance and degrees of freedom over seeds."""
    seeds = sorted({seed for replicate in replicates for seed in replicate})
    n_values = len(values)
    effects = [[replicate.count(seed) / len(replicate) for replicate in replicates] for seed in seeds]

    def jackknife(x):
        return jackknife_reference(x, replicates)

    def spread(x):
        return sum((value - sum(x) / len(x)) ** 2 for value in x)

    of_mean = sum((sum(effect) / n_values) ** 2 for effect in effects)
    expected = sum(jackknife(effect) for effect in effects)
    variance = jackknife(values) * of_mean / expected

    # The form between two seeds' effects, by polarisation.
    squares = 0.0
    for one in effects:
        for other in effects:
            plus = jackknife([x + y for x, y in zip(one, other)])
            minus = jackknife([x - y for x, y in zip(one, other)])
            squares += ((plus - minus) / 4) ** 2
    degrees = expected**2 / squares

    noises = [[float(i == j) for j in range(n_values)] for i in range(n_values)]
    a, b = expected, sum(jackknife(noise) for noise in noises)
    c, d = sum(spread(effect) for effect in effects), sum(spread(noise) for noise in noises)
    if math.isclose(a * d, b * c, rel_tol=1e-9):
        return variance, degrees
    of_seeds = (jackknife(values) * d - spread(values) * b) / (a * d - b * c)
    of_noise = (spread(values) * a - jackknife(values) * c) / (a * d - b * c)
    if of_noise <= 0:
        return variance, degrees
    if of_seeds <= 0:
        of_seeds, of_noise = 0.0, spread(values) / d
    corrected = of_seeds * of_mean + of_noise / n_values
    return min(variance, max(corrected, LEAST_SHARE * variance)), degrees
