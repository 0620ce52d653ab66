"""How many seeds a contrast needs, judged by a pilot: the power of its t-test where the truth is what the pilot found.

The error of a mean falls with the square root of the number of independent differences (disjoint replicates) or of seeds
(replicates that share them), and degrees of freedom grow with it. The pilot's difference is itself uncertain: one that
looks large by chance asks for too few seeds.
"""

import math

from scipy.special import nctdtr, stdtrit

from workflow_scripts.timecat.measures.contrasts import JACKKNIFE, LEVEL, Contrast

POWER = 0.8  # share of studies whose interval is to leave out zero
MOST = 200  # seeds that are tried


def power(mean: float, error: float, degrees: float) -> float:
    """Return how often an interval leaves out zero, of a contrast with this true mean and standard error."""
    critical = float(stdtrit(degrees, 0.5 + LEVEL / 2))
    shift = abs(mean) / error
    return 1 - float(nctdtr(degrees, shift, critical)) + float(nctdtr(degrees, shift, -critical))


def seeds_needed(pilot: Contrast) -> int | None:
    """Return with how many seeds in all a contrast like the pilot's has POWER; None where MOST are too few, or the pilot has
    no interval. More seeds make more replicates, as they do in the pilot."""
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
