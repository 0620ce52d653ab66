"""Slow reference for `measures/contrasts.py`: loops over replicates to pair them, and over seeds for the jackknife.

To find the jackknife's expectation for a covariance, this reference applies it to unit vectors, and
`measures/contrasts.py` multiplies matrices.
"""

import math

from workflow_scripts.timecat.measures.contrasts import LEAST_SHARE, Replicate


def paired_reference(arm: list[Replicate], baseline: list[Replicate]) -> list[Replicate]:
    """Return the differences in accuracy between an arm and the baseline, one per replicate of the arm.

    Each replicate is compared with the mean over those baseline replicates whose seeds it contains. A replicate that
    contains no baseline replicate is left out.
    """
    found = []
    for own in arm:
        inside = [other.accuracy for other in baseline if set(other.seeds) <= set(own.seeds)]
        if inside:
            found.append(Replicate(own.seeds, own.accuracy - sum(inside) / len(inside)))
    return found


def jackknife_reference(values: list[float], replicates: list[tuple[int, ...]]) -> float:
    """Return the delete-one-seed jackknife variance: (n - 1) / n times the sum of squared deviations of the n means."""
    seeds = sorted({seed for replicate in replicates for seed in replicate})
    means = []
    for deleted in seeds:
        left = [value for value, replicate in zip(values, replicates) if deleted not in replicate]
        means.append(sum(left) / len(left))
    centre = sum(means) / len(means)
    return (len(seeds) - 1) / len(seeds) * sum((mean - centre) ** 2 for mean in means)


def seed_error_reference(values: list[float], replicates: list[tuple[int, ...]]) -> tuple[float, float]:
    """Return the variance of the mean due to the choice of seeds, and its degrees of freedom."""
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

    # The bilinear form of the effects of two seeds, by polarisation.
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
