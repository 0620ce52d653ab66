"""Estimate from a pilot how many seeds a contrast needs, so that its t-test is likely to find the pilot's difference.

The error of a mean falls with the square root of the number of independent differences (disjoint replicates) or of
seeds (replicates that share seeds), and the degrees of freedom grow with this number. The pilot's difference is itself
uncertain: if it is large by chance, the estimate is too low.
"""

import math

from scipy.special import nctdtr, stdtrit

from workflow_scripts.timecat.measures.contrasts import JACKKNIFE, LEVEL, Contrast

POWER = 0.8  # required share of studies whose interval excludes zero
MOST = 200  # largest number of further seeds that is tried


def power(mean: float, error: float, degrees: float) -> float:
    """Return the probability that the interval of a contrast with this true mean and standard error excludes zero."""
    critical = float(stdtrit(degrees, 0.5 + LEVEL / 2))
    shift = abs(mean) / error
    return 1 - float(nctdtr(degrees, shift, critical)) + float(nctdtr(degrees, shift, -critical))


def seeds_needed(pilot: Contrast) -> int | None:
    """Return the total number of seeds at which a contrast like the pilot's reaches the power POWER.

    Return None if MOST further seeds are too few, or if the pilot has no interval. The number of replicates is assumed
    to grow with the number of seeds as in the pilot.
    """
    if pilot.error is None or pilot.degrees is None:
        return None
    step = 1 if pilot.method == JACKKNIFE else math.ceil(pilot.seeds / pilot.replicates)
    units = pilot.seeds if pilot.method == JACKKNIFE else pilot.replicates
    for more in range(MOST // step):
        grown = (units + more) / units
        degrees = pilot.degrees * (units + more - 1) / (units - 1)
        if power(pilot.mean, pilot.error / math.sqrt(grown), degrees) >= POWER:
            return pilot.seeds + more * step
    return None
